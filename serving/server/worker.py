"""One process that answers: models, event loop, REST and gRPC. Started by the supervisor, which it does not outlive."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from keras_seq.errors import KerasSeqError
from keras_seq.processes import MISUSED
from serving.observers import Observer, Router
from serving.server.app import ServerApp
from serving.server.http import Connection, Limits
from serving.server.metrics import Metrics
from serving.server.rest import RestFront
from serving.server.tls import Tls, read_tls, read_token
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.models.manager import ModelManager
    from serving.models.servable import Servable
    from serving.server.grpc_front import GrpcFront

TICK = 0.1  # seconds between two looks at what is late
LAST_CALL = 0.5  # seconds in which an idle connection may still send a request while the server drains
BACKLOG = 2048
SWITCH = 1e-4  # seconds: a thread whose run is over waits so long for the loop's thread, at most


class Worker:
    """What one process does from its start to its end.

    Args:
        settings: of the command line.
        slot: number among the workers.
        rest: file descriptor of the REST socket, bound but not listening; None: no REST.
        state: folder shared by the workers.
        again: this worker replaces one that died, so trouble with models must not end it.
    """

    def __init__(self, settings: Settings, slot: int, rest: int | None, state: Path | None, again: bool) -> None:
        self.settings, self.slot, self.rest, self.state, self.again = settings, slot, rest, state, again
        self.tls: Tls | None = read_tls(settings.ssl_config_file) if settings.ssl_config_file else None
        self.token = read_token(settings.token_file) if settings.token_file else None
        self.folders: dict[tuple[str, int], Path] = {}
        self.stop = asyncio.Event()
        self.app: ServerApp
        self.front: RestFront
        self.grpc: GrpcFront | None = None

    async def run(self) -> int:
        """Load, listen, answer, drain.

        Returns:
            Exit code.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_reader(sys.stdin.fileno(), self._supervisor_said)
        models = self._models()
        models.start()
        try:
            if not await self._loaded(models):
                return 0 if self.stop.is_set() else MISUSED
            self.app = self._app(models, loop)
            await loop.run_in_executor(None, self.app.follow_reload)
            gc.collect()
            gc.freeze()  # what is loaded stays; collections need not look at it again
            gc.set_threshold(20_000, 20, 20)
            sys.setswitchinterval(SWITCH)
            servers = await self._listen(loop)
            ticking = loop.create_task(self._tick())
            await self.stop.wait()
            await self._drain(servers)
            ticking.cancel()
            self.app.metrics.write()
            self.app.close()
            return 0
        finally:
            models.close(timeout=2.0)

    def _supervisor_said(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):  # it is gone
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.stop.set()

    def _models(self) -> ModelManager:
        from serving.models.config import one_model
        from serving.models.manager import ModelManager
        from serving.models.settings import ManagerSettings

        settings = self.settings
        shared = {each.name for each in fields(ManagerSettings)} & {each.name for each in fields(Settings)}
        values: dict[str, Any] = {name: getattr(settings, name) for name in shared}
        values["saved_model_tags"] = tuple(filter(None, settings.saved_model_tags.split(",")))
        how = ManagerSettings(**values)
        if settings.model_config_file:
            return ModelManager(config_file=Path(settings.model_config_file), settings=how, loader=self._load)
        if settings.model_base_path:
            config = one_model(settings.model_name, settings.model_base_path)
            return ModelManager(config, settings=how, loader=self._load)
        return ModelManager(folder=Path(settings.models or "saved_models"), settings=how, loader=self._load)

    def _load(self, name: str, version: int, folder: Path, settings: Any) -> Servable:
        from serving.models.loading import load_version

        servable = load_version(name, version, folder, settings)
        self.folders[name, version] = folder
        return servable

    async def _loaded(self, models: ModelManager) -> bool:
        """Wait for the models; whether there is something to serve."""
        loop = asyncio.get_running_loop()
        waiting = loop.run_in_executor(None, models.wait_until_loaded)
        stopped = loop.create_task(self.stop.wait())
        both: set[asyncio.Future[Any]] = {waiting, stopped}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self.stop.is_set():
            return False
        stopped.cancel()
        problems = await waiting
        for problem in problems:
            _say(f"warning: {problem}")
        names = models.names()
        if not names:
            _say("warning: there is no model yet; one that is put into the folder of --models is found and served.")
        if names and len(problems) >= len(names) and not self.again:
            _say("error: no model has a version that answers, so there is nothing to serve. Mend what is named above.")
            return False
        return True

    def _app(self, models: ModelManager, loop: asyncio.AbstractEventLoop) -> ServerApp:
        from serving.models.batching import BatchingParameters, read_batching, read_monitoring

        settings = self.settings
        parameters = None
        if settings.enable_batching:
            file = settings.batching_parameters_file
            parameters = read_batching(file) if file else BatchingParameters()
        monitoring = read_monitoring(settings.monitoring_config_file) if settings.monitoring_config_file else None
        shared = self.state if settings.workers > 1 else None
        app = ServerApp(
            settings,
            models,
            loop=loop,
            metrics=Metrics(shared, self.slot),
            monitoring=monitoring,
            parameters=parameters,
            observers=self._observers(models),
            router=self._router(models),
            state=self.state,
            folders=self.folders,
        )
        self.front = RestFront(app, limits_of(settings), token=self.token)
        return app

    def _router(self, models: ModelManager) -> Router | None:
        if not self.settings.rollout:
            return None
        from serving.rollout.router import PlanRouter

        return PlanRouter(self.settings.rollout, models)

    def _observers(self, models: ModelManager) -> list[Observer]:
        settings, observers = self.settings, list[Observer]()
        if settings.request_log or settings.monitor:
            from serving.monitor import DriftMonitor, MonitorSettings, load_settings

            chosen = load_settings(settings.monitor) if settings.monitor else MonitorSettings()
            if settings.request_log:
                chosen = chosen.model_copy(update={"folder": settings.request_log})
            observers.append(DriftMonitor(chosen, lambda model, version: self.folders.get((model, version))))
        if settings.rollout:
            from serving.rollout.shadow import Shadow

            observers.append(Shadow(settings.rollout, models, folder=settings.request_log or None))
        return observers

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> list[asyncio.Server]:
        settings, servers = self.settings, []
        scheme = "https" if self.tls else "http"
        if settings.port or settings.grpc_socket_path:
            from serving.server.grpc_front import GrpcFront

            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            addresses = [f"{host}:{settings.port}"] if settings.port else []
            if settings.grpc_socket_path:
                addresses.append(f"unix:{settings.grpc_socket_path}")
            self.grpc = GrpcFront(self.app, tls=self.tls, token=self.token, arguments=settings.grpc_channel_arguments)
            await self.grpc.start(addresses)
            _say(f"Running gRPC ModelServer at {addresses[0]} ...")
        if self.rest is not None:
            listener = socket.socket(fileno=self.rest)
            listener.setblocking(False)
            servers.append(
                await loop.create_server(
                    lambda: Connection(self.front),
                    sock=listener,
                    ssl=self.tls.context() if self.tls else None,
                    backlog=BACKLOG,
                )
            )
            _say(f"Exporting HTTP/REST API at:{scheme}://{settings.host}:{settings.rest_api_port} ...")
        return servers

    async def _tick(self) -> None:
        seconds, loop = 0.0, asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK)
            self.app.tick()
            if monotonic() - seconds >= 1.0:
                seconds = monotonic()
                for connection in list(self.front.connections):
                    connection.check(seconds)
                self.app.metrics.write()
                await loop.run_in_executor(None, self.app.follow_reload)

    async def _drain(self, servers: list[asyncio.Server]) -> None:
        """Take nothing new, finish what is under way."""
        limit = monotonic() + self.settings.drain_timeout_s
        for server in servers:
            server.close()
        self.front.draining = self.app.draining = True
        stopping = asyncio.ensure_future(self.grpc.stop(self.settings.drain_timeout_s)) if self.grpc else None
        idle_until = monotonic() + LAST_CALL
        while self.front.connections and monotonic() < limit:
            if monotonic() > idle_until:
                for connection in list(self.front.connections):
                    connection.drain()
            await asyncio.sleep(0.02)
        for connection in list(self.front.connections):
            connection.transport.abort()
        if stopping:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopping, max(0.1, limit - monotonic()) + 1)


def limits_of(settings: Settings) -> Limits:
    """What clients may do, from the flags."""
    body = settings.max_body_mb * 2**20
    return Limits(body, 8 * body, settings.max_connections, settings.read_timeout_s, settings.idle_timeout_s)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _runner() -> Callable[[Any], int]:
    with suppress(ImportError):  # not on every platform
        import uvloop

        return uvloop.run
    return asyncio.run


def main() -> int:
    """What the supervisor starts; settings come as one line of JSON on standard input."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as stream:  # unbuffered: the rest is for the loop
        job = json.loads(stream.readline())
    settings = Settings(**job["settings"])
    state = Path(job["folder"]) if job["folder"] else None

    async def serve() -> int:
        return await Worker(settings, job["slot"], job["rest"], state, job["again"]).run()

    try:
        return _runner()(serve())
    except KerasSeqError as error:
        _say(f"error: {error}")
        return MISUSED


if __name__ == "__main__":
    sys.exit(main())
