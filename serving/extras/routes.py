"""The extras' endpoints: method, path and function of each in one table, which the OpenAPI document is made of too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

from serving.contract.status import Code, Refused
from serving.extras import describe, openapi, state, v2
from serving.extras import predict as checking
from serving.extras.http import (
    HTML,
    ExtrasEndpoint,
    ExtrasHost,
    ExtrasRequest,
    Function,
    Handler,
    Response,
    answer,
    failure,
)

PAGE = Path(__file__).with_name("page.html")
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'"
)
Key = tuple[str, str]
LARGEST = 4 * 2**20  # bytes of a body: it is looked at number by number, while other calls wait for the interpreter
PARAMETER = re.compile(r"\{(\w+)\}")


class Extras(Mapping[Key, Handler]):
    """Handlers by method and path; paths may be those of requests: ``("GET", "/keras_seq/models/fd001")``.

    Handlers block: call them in a thread. ``answer`` is the easier way, it also says 404 and 405.

    Args:
        app: the server.
        prefix: where all paths are, without a slash at its end.
    """

    def __init__(self, app: ExtrasHost, prefix: str) -> None:
        self.prefix = prefix
        self._routes: dict[Key, Handler] = {
            (endpoint.method, prefix + endpoint.path): partial(_guarded, endpoint.function, app)
            for endpoint in ENDPOINTS
        }
        self._patterns = [(method, _pattern(path), handler) for (method, path), handler in self._routes.items()]

    def answer(self, request: ExtrasRequest) -> Response:
        """Answer a call below the prefix."""
        if len(request.body) > LARGEST:
            return failure(
                413, f"The body has {len(request.body)} bytes, at most {LARGEST} are checked; call /v1/ instead."
            )
        handler = self.get((request.method, request.path))
        if handler is not None:
            return handler(request)
        allowed = sorted({method for method, pattern, _ in self._patterns if pattern.fullmatch(request.path)})
        if not allowed:
            return failure(404, f"There is nothing at {request.path}; see {self.prefix}/openapi.json.")
        refusal = failure(405, f"{request.path} takes {' or '.join(allowed)}, not {request.method}.")
        return replace(refusal, headers={"Allow": ", ".join(allowed)})

    def __getitem__(self, key: Key) -> Handler:
        method, path = key
        for known, pattern, handler in self._patterns:
            match = pattern.fullmatch(path) if known == ("GET" if method == "HEAD" else method) else None
            if match:
                params = match.groupdict()
                return lambda request: handler(replace(request, params=params))
        raise KeyError(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)


def _pattern(path: str) -> re.Pattern[str]:
    pieces = PARAMETER.split(path)  # text, name, text, name, ...
    return re.compile(
        "".join(f"(?P<{piece}>[^/:]+)" if number % 2 else re.escape(piece) for number, piece in enumerate(pieces))
    )


def _counted(function: Function, app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Calls of a model are in the server's metrics, whichever door they came through."""
    began, code = perf_counter(), Code.INTERNAL
    try:
        response = function(app, request)
        code = Code.OK
        return response
    except Refused as error:
        code = error.code
        raise
    except RecursionError:
        code = Code.INVALID_ARGUMENT
        raise
    finally:
        app.count(request.params["name"], code, perf_counter() - began)


def _guarded(function: Function, app: ExtrasHost, request: ExtrasRequest) -> Response:
    """Refusals as JSON with their status."""
    try:
        return function(app, request)
    except Refused as error:
        return failure(error.http_status, error.message, code=Code(error.code).name)
    except RecursionError:
        return failure(400, "The body is nested too deeply.", code=Code.INVALID_ARGUMENT.name)


def _page(app: ExtrasHost, request: ExtrasRequest) -> Response:
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response(200, PAGE.read_bytes(), HTML, headers)


def _ready(app: ExtrasHost, request: ExtrasRequest) -> Response:
    everyone, by_name = describe.is_ready(app)
    return answer({"ready": everyone, "models": by_name}, 200 if everyone else 503)


def _describe(app: ExtrasHost, request: ExtrasRequest) -> Response:
    name, version, label = checking.target(request)
    with app.models.acquire(name, version, label) as servable:
        return answer(describe.version(app, servable))


def _models(app: ExtrasHost, request: ExtrasRequest) -> Response:
    return answer({"models": describe.overview(app)})


def _state(app: ExtrasHost, request: ExtrasRequest) -> Response:
    return answer(state.summary(app))


def _openapi(app: ExtrasHost, request: ExtrasRequest) -> Response:
    prefix = request.path.removesuffix("/openapi.json")
    return answer(openapi.document(app, prefix, ENDPOINTS))


_predict, _infer = partial(_counted, checking.predict), partial(_counted, v2.infer)
_VERSIONS = ("", "/versions/{version}")
_NAMED = (*_VERSIONS, "/labels/{label}")
ENDPOINTS = (
    ExtrasEndpoint("GET", "", _page),
    ExtrasEndpoint("GET", "/", _page),
    ExtrasEndpoint("GET", "/live", v2.live, "The server runs"),
    ExtrasEndpoint("GET", "/ready", _ready, "Every model has a version that answers", ("503",)),
    ExtrasEndpoint("GET", "/models", _models, "All models with their versions and features"),
    ExtrasEndpoint("GET", "/state", _state),
    ExtrasEndpoint("GET", "/openapi.json", _openapi),
    ExtrasEndpoint("GET", "/v2", v2.server),
    ExtrasEndpoint("GET", "/v2/health/live", v2.live),
    ExtrasEndpoint("GET", "/v2/health/ready", v2.ready),
    *(ExtrasEndpoint("GET", f"/models/{{name}}{which}", _describe) for which in _NAMED),
    *(
        ExtrasEndpoint("POST", f"/models/{{name}}{which}:predict", _predict)
        for which in (*_VERSIONS, "/labels/{label}")
    ),
    *(ExtrasEndpoint("GET", f"/v2/models/{{name}}{which}", v2.model) for which in _VERSIONS),
    *(ExtrasEndpoint("GET", f"/v2/models/{{name}}{which}/ready", v2.model_ready) for which in _VERSIONS),
    *(ExtrasEndpoint("POST", f"/v2/models/{{name}}{which}/infer", _infer) for which in _VERSIONS),
)
