"""Whether a tracking server answers, known in seconds."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


@contextlib.contextmanager
def impatient(seconds: float) -> Iterator[None]:
    """Within, MLflow tries a request twice, for ``seconds`` together; otherwise eight times, which takes minutes.

    Variables that the user has set keep their values.
    """
    wanted = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(max(1, int(seconds / 2))),
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    }
    mine = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


def reach(uri: str, ask: Callable[[], object], seconds: float) -> None:
    """Ask a server once, for ``seconds`` at most: by HTTP ``ask()``, an SQL server for a connection; files are there.

    Raises:
        TimeoutError: there is no answer in time. Otherwise what asking raises.
    """
    parts = urlsplit(uri)
    kind = parts.scheme.partition("+")[0]
    if kind in ("http", "https"):
        _within(seconds, ask)
    elif kind in PORTS and parts.hostname:
        place = parts.hostname, parts.port or PORTS[kind]
        _within(seconds, lambda: socket.create_connection(place, seconds).close())


def _within(seconds: float, ask: Callable[[], object]) -> None:
    """Names that are looked up, answers in drips: no time limit of a library holds for them all."""
    errors: list[Exception] = []

    def work() -> None:
        try:
            ask()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True, name="reach")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s (tracking.timeout)")
    if errors:
        raise errors[0]
