"""Whether a running server has taken a version, by TensorFlow Serving's REST status."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from keras_seq.errors import ConfigError, ServingError

POLL = 0.5
REPLY = 10.0  # seconds a reply may take


def check_address(server: str) -> str:
    """The address without its last slash.

    Raises:
        ConfigError: it is no HTTP address.
    """
    address = urllib.parse.urlsplit(server)
    if address.scheme not in ("http", "https") or not address.netloc:
        raise ConfigError(f"Option '--server' must be an address such as http://127.0.0.1:8501, got '{server}'.")
    return server.rstrip("/")


def check_reachable(server: str, model: str, token: str = "") -> None:
    """Refuse to train for hours for a server that is not there.

    Raises:
        ServingError: no reply.
    """
    if _ask(server, model, token) is None:
        raise ServingError(f"No server answers at '{server}'. Start it, correct --server, or leave the option out.")


def wait_available(server: str, model: str, version: int, *, timeout: float, token: str = "") -> None:
    """Wait until the server reports the version AVAILABLE.

    Raises:
        ServingError: it could not load it, or did not within ``timeout`` seconds; says the server's reason.
    """
    end, last = time.monotonic() + timeout, "no reply"
    while time.monotonic() < end:
        states = _ask(server, model, token)
        mine = next((state for state in states or () if str(state.get("version")) == str(version)), None)
        if mine is not None:
            status = mine.get("status") or {}
            last = f"{mine.get('state')} {status.get('error_message', '')}".strip()
            if mine.get("state") == "AVAILABLE":
                return
            if mine.get("state") == "END" and status.get("error_code", "OK") not in ("OK", 0):
                raise ServingError(f"The server at '{server}' cannot load version {version} of '{model}': {last}.")
        elif states is not None:
            last = "it does not know the version"
        time.sleep(POLL)
    raise ServingError(
        f"The server at '{server}' did not serve version {version} of '{model}' in {timeout:g} s: {last}."
    )


def _ask(server: str, model: str, token: str) -> list[dict[str, Any]] | None:
    """Status lines of a model, empty if the server does not know it; None without a reply."""
    request = urllib.request.Request(f"{server}/v1/models/{urllib.parse.quote(model, safe='')}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=REPLY) as reply:
            states = json.load(reply).get("model_version_status", [])
            return [state for state in states if isinstance(state, dict)]
    except urllib.error.HTTPError:
        return []
    except (OSError, ValueError, AttributeError):
        return None
