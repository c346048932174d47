"""Readiness line of a server as JSON: for programs that start it and wait."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

from keras_seq.cli import output
from keras_seq.errors import KerasSeqError
from serving.settings import Settings

POLL = 0.1  # seconds between two looks
GIVE_UP = 3600.0  # seconds


def announce_when_ready(settings: Settings) -> threading.Thread:
    """Watch the server's ports from a thread that does not keep the process alive, and announce it once.

    Args:
        settings: of the server, which this process is about to run.
    """
    thread = threading.Thread(target=_wait, args=(settings,), name="ready", daemon=True)
    thread.start()
    return thread


def _wait(settings: Settings) -> None:
    end = time.monotonic() + GIVE_UP
    while not (_listens(settings) and _models_answer(settings)):
        if time.monotonic() > end:
            return
        time.sleep(POLL)
    output.announce(facts(settings))


def facts(settings: Settings) -> dict[str, Any]:
    """What the line tells.

    Returns:
        ``host``, ``rest_api_port`` and ``port`` (null where there is none), ``grpc_socket_path``, ``tls``, and
        ``models``: ``{"name", "versions"}`` each, with versions as the server itself tells them; null behind TLS.
    """
    return {
        "host": settings.host,
        "rest_api_port": settings.rest_api_port or None,
        "port": settings.port or None,
        "grpc_socket_path": settings.grpc_socket_path or None,
        "tls": bool(settings.ssl_config_file),
        "models": [{"name": name, "versions": _versions(settings, name)} for name in model_names(settings)],
    }


def model_names(settings: Settings) -> list[str]:
    """Names of the models that the flags name."""
    from serving.models.config import folder_config, read_config

    if settings.model_config_file:
        return [model.name for model in read_config(settings.model_config_file).models]
    if settings.model_base_path:
        return [settings.model_name]
    return [model.name for model in folder_config(Path(settings.models or "saved_models")).models]


def _listens(settings: Settings) -> bool:
    """Whether the last of its ports takes connections; until then REST is bound but does not listen."""
    try:
        if settings.rest_api_port or settings.port:
            socket.create_connection((_host(settings), settings.rest_api_port or settings.port), timeout=1.0).close()
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(settings.grpc_socket_path)
            return True
    except OSError:
        return False


def _models_answer(settings: Settings) -> bool:
    """Whether every model has told its state: a container's port is open before its server is."""
    try:
        return all(_versions(settings, name) != [] for name in model_names(settings))
    except (KerasSeqError, OSError):
        return True  # the server has said what is wrong with its models


def _versions(settings: Settings, name: str) -> list[dict[str, Any]] | None:
    """Number and state of a model's versions; None where this process cannot ask, [] where nothing answers yet."""
    if settings.ssl_config_file or not (settings.rest_api_port or settings.port):
        return None
    from serving.client import Client, GrpcClient, Retry

    shared: dict[str, Any] = {"retry": Retry(attempts=1), "timeout": 5.0, "token": _token(settings)}
    host = _host(settings)
    host = f"[{host}]" if ":" in host else host
    try:
        if settings.rest_api_port:
            with Client(f"http://{host}:{settings.rest_api_port}", **shared) as client:
                rows = client.status(name)
        else:
            with GrpcClient(f"{host}:{settings.port}", **shared) as rpc:
                rows = rpc.status(name)
    except KerasSeqError:
        return []
    return [{"version": row.version, "state": row.state} for row in rows]


def _token(settings: Settings) -> str | None:
    if not settings.token_file:
        return None
    from serving.server.tls import read_token

    return read_token(settings.token_file).decode()


def _host(settings: Settings) -> str:
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
