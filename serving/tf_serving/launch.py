"""Start the real server, as a process or a container, wait until it answers, and hand on signals and its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from keras_seq.errors import ConfigError, KerasSeqError, ServingError
from serving.settings import Settings
from serving.tf_serving import commands
from serving.tf_serving.commands import BINARY, LaunchPlan

LOADING = 300.0  # seconds for all models to load
LAST_WORDS = 20  # lines of the log that an error quotes
DOCKER_TIMEOUT = 20.0


def launch(settings: Settings) -> int:
    """Run the real server until it ends or is told to.

    Args:
        settings: ``backend`` "docker", or the binary.

    Returns:
        Exit code: 0 if it was told to end.

    Raises:
        ConfigError: flags that it does not have, or an address that it cannot keep to.
        ServingError: it is not installed, or ends before it answers; its last words are inside.
    """
    with tempfile.TemporaryDirectory(prefix="keras-seq-serving-") as scratch:
        os.chmod(scratch, 0o755)
        launch_plan = commands.plan(settings, Path(scratch))
        if settings.backend == "docker":
            _check_docker()
            name = f"keras-seq-serving-{os.getpid()}"
            return _run(commands.docker(launch_plan, settings, name), launch_plan, settings)
        if shutil.which(BINARY) is None:
            raise ServingError(
                f"{BINARY} is not on PATH. Install TensorFlow Serving (it comes as a container image and as a Debian "
                "package), or give --backend=docker or --backend=embedded."
            )
        _check_address(settings)
        return _run(commands.binary(launch_plan), launch_plan, settings)


def _check_address(settings: Settings) -> None:
    if settings.is_loopback and not settings.insecure:
        raise ConfigError(
            f"{BINARY} listens on every address of this machine and cannot be held to {settings.host}. Say --insecure "
            "if its network is trusted, or give --backend=docker (which publishes its ports on --host only) or "
            "--backend=embedded."
        )


def _check_docker() -> None:
    if shutil.which("docker") is None:
        raise ServingError("docker is not on PATH; install it, or give --backend=embedded.")
    try:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=DOCKER_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServingError(f"docker did not answer within {DOCKER_TIMEOUT:g} s; is its daemon well?") from None
    if asked.returncode:
        reason = (asked.stderr.strip().splitlines() or ["no reason given"])[0]
        raise ServingError(f"docker cannot run containers: {reason} Start its daemon, or give --backend=embedded.")


def _run(command: Sequence[str], launch_plan: LaunchPlan, settings: Settings) -> int:
    print(f"starting {' '.join(command)}", file=sys.stderr)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    assert server.stdout is not None
    ending = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def hand_on(number: int, frame: object) -> None:
        ending.set()
        server.send_signal(number)

    heard: deque[str] = deque(maxlen=LAST_WORDS)
    log = threading.Thread(target=_follow, args=(server.stdout, heard), daemon=True)
    log.start()
    try:
        for number in before:
            signal.signal(number, hand_on)
        ready = _wait(server, launch_plan, settings, ending)
        code = server.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if server.poll() is None:
            server.kill()
            server.wait()
        log.join(5)
    if ending.is_set():
        return 0
    if not ready:
        words = " | ".join(list(heard)[-3:]) or "nothing"
        raise ServingError(f"{command[0]} ended with code {code} before it answered; its last words: {words}")
    return code


def _follow(log: IO[bytes], heard: deque[str]) -> None:
    """Pass the log on and remember its end."""
    for line in log:
        text = line.decode(errors="replace").rstrip()
        heard.append(text)
        print(text, file=sys.stderr)


def _wait(
    server: subprocess.Popen[bytes], launch_plan: LaunchPlan, settings: Settings, ending: threading.Event
) -> bool:
    """Ask until every model has a version that answers; whether it has."""
    waiting = [model.name for model in launch_plan.config.models]
    end = time.monotonic() + LOADING
    while waiting and server.poll() is None and not ending.is_set():
        waiting = [name for name in waiting if not _available(name, settings)]
        if waiting and time.monotonic() > end:
            print(f"not available after {LOADING:g} s: {', '.join(waiting)}", file=sys.stderr)
            return True  # it runs and may still load them
        if waiting:
            time.sleep(0.5)
    if not waiting:
        print(f"ready: {', '.join(model.name for model in launch_plan.config.models)}", file=sys.stderr)
    return not waiting


def _available(name: str, settings: Settings) -> bool:
    from serving.client import Client, GrpcClient, Retry

    once = Retry(attempts=1)
    host = "127.0.0.1" if settings.host in ("", "0.0.0.0") else "[::1]" if settings.host == "::" else settings.host
    try:
        if settings.rest_api_port:
            with Client(f"http://{host}:{settings.rest_api_port}", retry=once, timeout=5.0) as client:
                rows = client.status(name)
        else:
            with GrpcClient(f"{host}:{settings.port}", retry=once, timeout=5.0) as client:
                rows = client.status(name)
    except KerasSeqError:
        return False
    return any(row.state == "AVAILABLE" for row in rows)
