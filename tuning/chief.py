"""The oracle behind KerasTuner's gRPC protocol, and the worker processes of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from keras_seq import processes
from keras_seq.errors import ConfigError, KerasSeqError
from keras_seq.machine import resident_mb
from tuning.records import Study

if TYPE_CHECKING:
    import keras_tuner

LOCAL = "127.0.0.1"
IDLE_DEATHS = 4  # of workers without a trial, after which the search gives up


class Chief:
    """Serves an oracle to workers while the block runs.

    Args:
        oracle: of ``tuning.oracle``.
        address: to listen on; anyone who can reach it can take part, so the default is this machine alone.
        port: 0: a free one.

    Raises:
        ConfigError: the port is taken.
    """

    def __init__(self, oracle: keras_tuner.Oracle, address: str = LOCAL, port: int = 0) -> None:
        import grpc
        from keras_tuner.src import protos
        from keras_tuner.src.distribute.oracle_chief import OracleServicer

        self.oracle = oracle
        _check_port(address, port)
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), options=[("grpc.so_reuseport", 0)])
        protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(oracle), self._server)
        self.address = address
        self.port = self._server.add_insecure_port(f"{address}:{port}")

    def __enter__(self) -> Chief:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(grace=1).wait()

    @property
    def done(self) -> bool:
        """No trial is running and no more will be given out."""
        given_out = self.oracle.max_trials and len(self.oracle.trials) >= self.oracle.max_trials
        waiting = self.oracle.ongoing_trials or self.oracle._retry_queue
        return not waiting and bool(given_out or self.oracle.exhausted)


def _check_port(address: str, port: int) -> None:
    if not port:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} of {address} cannot be used ({error.strerror}); give another one with --port, or leave "
                "the option out for a free one."
            ) from None


@dataclass
class _Worker:
    name: str
    process: subprocess.Popen[bytes]


class Workers:
    """Worker processes of this machine: started, watched, started again when they die, stopped.

    Args:
        study: whose trials they run.
        count: how many; each gets an equal share of the cores.
        chief: whom they ask.
        max_memory_gb: of one worker; 0: no limit.
    """

    def __init__(self, study: Study, count: int, chief: Chief, *, max_memory_gb: float = 0.0) -> None:
        self.study, self.chief, self.limit_mb = study, chief, max_memory_gb * 1e3
        self.cores = processes.core_shares(count)
        self.idle_deaths = 0
        self.running = [self._start(f"worker-{number}") for number in range(count)]

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.running:
            worker.process.kill()
            worker.process.wait()

    @property
    def alive(self) -> bool:
        """Whether a worker still runs."""
        return bool(self.running)

    def mend(self) -> None:
        """Restart workers that died, stop those that hold too much memory, forget those that ended.

        Raises:
            KerasSeqError: workers die before they have a trial; names their log.
        """
        for worker in list(self.running):
            if self.limit_mb and resident_mb(worker.process.pid) > self.limit_mb:
                worker.process.kill()
                worker.process.wait()
                reason = f"its worker held more than tuning.max_memory_gb={self.limit_mb / 1e3:g}"
                self._blame(worker, reason, final=True)
                self.running[self.running.index(worker)] = self._start(worker.name)
                continue
            code = worker.process.poll()
            if code is None:
                continue
            self.running.remove(worker)
            if code == 0:
                continue
            if code == processes.RESTART:  # TensorFlow's memory grew
                self.running.append(self._start(worker.name))
                continue
            self._blame(worker, f"its worker died ({processes.end_words(code)}; see {self._log(worker.name)})")
            self.running.append(self._start(worker.name))
            time.sleep(0.5)  # a worker that cannot start must not fill the machine

    def _start(self, name: str) -> _Worker:
        command = [sys.executable, "-m", "tuning.worker", str(self.study.folder), str(os.getpid())]
        environment = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": self.chief.address,
            "KERASTUNER_ORACLE_PORT": str(self.chief.port),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        cores = self.cores[int(name.rpartition("-")[2])]
        return _Worker(name, processes.start_child(command, cores, environment=environment, log=self._log(name)))

    def _log(self, name: str) -> Path:
        return self.study.folder / "workers" / f"{name}.log"

    def _blame(self, worker: _Worker, reason: str, *, final: bool = False) -> None:
        """Note a worker's death on the trial it ran."""
        trial = self.chief.oracle.ongoing_trials.get(worker.name)
        record = self.study.record(trial.trial_id) if trial else None
        if record is None or record.status != "running":
            self.idle_deaths += 1
            if self.idle_deaths >= IDLE_DEATHS:
                raise KerasSeqError(f"Workers die before they run a trial: {reason}.")
            return
        self.idle_deaths = 0
        changes: dict[str, Any] = {"status": "failed", "ended": time.time()} if final else {}
        self.study.save(record.replace(attempts=record.attempts + 1, reason=reason, **changes))
