"""``Client``: TensorFlow Serving's REST API over kept connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import numpy as np
import urllib3
from urllib3 import exceptions

from keras_seq.errors import ConfigError, ServingError
from serving.client import wire
from serving.client.arrays import Arrays
from serving.client.base import BaseClient
from serving.client.calls import ClassScores, Description, Example, VersionTarget
from serving.client.errors import CallRefused, code_of, refused
from serving.client.retry import RetryableError, retry_after
from serving.contract.signatures import Signature

if TYPE_CHECKING:
    from serving.contract.version_state import VersionState

JSON = {"Content-Type": "application/json"}
UNAVAILABLE = 503


class Client(BaseClient):
    """REST client of a server.

    Args:
        url: such as ``http://127.0.0.1:8501`` or ``https://models.example.com``.
        token: sent as ``Authorization: Bearer``.
        ca: file of the certificates that an https server is checked against; None: the system's.
        extras_prefix: where the server's own pages are, if it has any; "" never asks for them.
        options: see ``BaseClient``.

    Raises:
        ConfigError: the url is none.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8501",
        *,
        token: str | None = None,
        ca: str | None = None,
        extras_prefix: str = "/keras_seq",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"url must be an http or https address such as http://127.0.0.1:8501, got '{url}'.")
        self.url, self.extras_prefix = url.rstrip("/"), extras_prefix.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        secure: dict[str, Any] = {"ca_certs": ca} if ca else {}
        timeout = urllib3.Timeout(connect=min(5.0, self.timeout), read=self.timeout)
        self._pool = urllib3.PoolManager(maxsize=self.connections, retries=False, timeout=timeout, **secure)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def describe(self, model: str, *, version: int | None = None, label: str | None = None) -> Description | None:
        """What ``keras_seq`` wrote of a version, from the server's extras; None where it has none."""
        if not self.extras_prefix:
            return None
        path = _path(VersionTarget(model, version, label)).removeprefix("/v1")
        try:
            reply = self._ask("GET", f"{self.extras_prefix}{path}", f"describe model '{model}'")
        except CallRefused:
            return None  # TensorFlow Serving itself answers 400 to paths that are not its own
        return reply.get("keras_seq") if isinstance(reply, dict) else None

    def _predict(self, target: VersionTarget, name: str, inputs: Arrays, signature: Signature) -> Arrays:
        body = wire.predict_body(inputs, name)
        reply = self._forgetting(target, lambda: self._post(target, "predict", body))
        return wire.predictions(reply, signature)

    def _classify(
        self, target: VersionTarget, name: str, examples: Sequence[Example], context: Example | None
    ) -> ClassScores:
        reply = self._post(target, "classify", wire.examples_body(examples, name, context))
        return [[(str(label), float(score)) for label, score in row] for row in self._results(reply)]

    def _regress(
        self, target: VersionTarget, name: str, examples: Sequence[Example], context: Example | None
    ) -> np.ndarray:
        reply = self._post(target, "regress", wire.examples_body(examples, name, context))
        return np.asarray(self._results(reply), np.float32)

    def _metadata(self, target: VersionTarget) -> dict[str, Signature]:
        return wire.signatures(self._ask("GET", f"{_path(target)}/metadata", f"tell the signatures of {target}"))

    def _status(self, target: VersionTarget) -> list[VersionState]:
        from serving.contract.version_state import VersionState

        rows = self._ask("GET", _path(target), f"tell the state of {target}").get("model_version_status", [])
        return [
            VersionState(
                int(row["version"]), row["state"], row["status"]["error_code"], row["status"].get("error_message", "")
            )
            for row in rows
        ]

    @staticmethod
    def _results(reply: wire.Json) -> Any:
        try:
            return reply["results"]
        except (KeyError, TypeError):
            raise ServingError(f"The server's answer has no 'results': {str(reply)[:200]}.") from None

    def _post(self, target: VersionTarget, verb: str, body: bytes) -> Any:
        return self._ask("POST", f"{_path(target)}:{verb}", f"{verb} with {target}", body)

    def _ask(self, method: str, path: str, what: str, body: bytes | None = None) -> Any:
        return self.retry.run(lambda: self._once(method, path, what, body))

    def _once(self, method: str, path: str, what: str, body: bytes | None) -> Any:
        status, headers, content = self._exchange(method, path, body)
        try:
            reply = wire.loads(content)
        except ValueError:
            reply = None
        if status == 200 and reply is not None:
            return reply
        text = reply.get("error") if isinstance(reply, dict) else None
        text = str(text) if text else content.decode(errors="replace")[:500]
        if status == 200:
            raise ServingError(f"{self.url}{path} answered with something that is no JSON: {text[:200]!r}.")
        error = refused(what, self.url, code_of(status), text, status)
        if status == UNAVAILABLE:
            raise RetryableError(error, retry_after(headers.get("Retry-After")))
        raise error

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one request.

        Raises:
            Again: no server has answered.
            ServingError: the answer took too long or broke off.
        """
        headers = self._headers | (JSON if body is not None else {})
        try:
            reply = self._pool.request(method, self.url + path, body=body, headers=headers, preload_content=False)
        except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError) as error:
            raise RetryableError(
                ServingError(f"No server answers at {self.url}: {_reason(error)}. Is it running?")
            ) from None
        except exceptions.TimeoutError:
            raise ServingError(
                f"{self.url}{path} did not answer within {self.timeout:g} s; ask with fewer rows a call "
                "(rows_per_request), or give a longer timeout."
            ) from None
        except exceptions.SSLError as error:
            raise ServingError(f"The connection to {self.url} is not secure: {_reason(error)}. Check ca.") from None
        except exceptions.HTTPError as error:
            failure = ServingError(f"The connection to {self.url} was closed before an answer: {_reason(error)}.")
            if any(isinstance(cause, ConnectionError) for cause in error.args):
                raise RetryableError(failure) from None
            raise failure from None
        try:
            return reply.status, reply.headers, reply.read()
        except exceptions.HTTPError as error:
            raise ServingError(f"The answer of {self.url}{path} broke off: {_reason(error)}.") from None
        finally:
            reply.release_conn()


def _path(target: VersionTarget) -> str:
    path = f"/v1/models/{quote(target.model, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    return f"{path}/labels/{quote(target.label, safe='')}" if target.label else path


def _reason(error: Exception) -> str:
    """The innermost cause in a line, without urllib3's object names."""
    cause: Any = error
    while getattr(cause, "reason", None) is not None and isinstance(cause.reason, Exception):
        cause = cause.reason
    inner = [arg for arg in cause.args if isinstance(arg, Exception)]
    text = str(inner[-1] if inner else cause.__cause__ or cause.__context__ or cause)
    return text.split("object at 0x")[-1].rstrip(".")[:200] or type(cause).__name__
