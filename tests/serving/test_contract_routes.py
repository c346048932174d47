"""Method and target, as the patterns of the C++ server and libevent read them."""

import re
import time

import pytest

from serving.contract.routes import Page, RefusedWithoutBody, Route, page, path_and_query, preflight, read_route
from serving.contract.status import Refused


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("POST", "/v1/models/m:predict", Route("predict", "m")),
        ("POST", "/V1/Models/m:classify", Route("classify", "m")),
        ("POST", "/v1/models/m/versions/007:regress", Route("regress", "m", 7)),
        ("POST", "/v1/models/m/versions/9223372036854775807:predict", Route("predict", "m", 2**63 - 1)),
        ("POST", "/v1/models/a%20b%2Fc+d/labels/%41:predict", Route("predict", "a b/c+d", None, "A")),
        ("POST", "http://host:8501/v1/models/m:predict", Route("predict", "m")),
        ("GET", "/v1/models/m", Route("status", "m")),
        ("GET", "/v1/models/m/versions/1", Route("status", "m", 1)),
        ("GET", "/v1/models/m/metadata", Route("metadata", "m")),
        ("GET", "/v1/models/m/labels/l/metadata", Route("metadata", "m", None, "l")),
        ("GET", "/v1/models/metadata", Route("status", "metadata")),
        ("GET", "/v1/models/m/METADATA", Route("status", "m")),
        ("GET", "/v1/models/m?x=1", Route("status", "m?x=1")),
        ("GET", "/v1/models/%FF", Route("status", "\udcff")),
        ("OPTIONS", "/v1/anything", Route("preflight")),
    ],
)  # fmt: skip
def test_routes(method, target, expected):
    assert read_route(method, target) == expected


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/m/"),
        ("GET", "/v1/models/m:predict"),
        ("GET", "/v1/models/m/versions/x"),
        ("GET", "/v1/models/m/versions/1/labels/x"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:PREDICT"),
        ("POST", "/v1/models/m:predict?a=1"),
        ("POST", "/v1/models/m:predict#f"),
        ("POST", "/v1/models/m:predict/"),
        ("POST", "/v1/models/m/versions/-1:predict"),
        ("POST", "/v1/models/m/versions/:predict"),
        ("POST", "/v1/models/a:b:predict"),
        ("PUT", "/v1/models/m:predict"),
        ("HEAD", "/v1/models/m"),
        ("DELETE", "/v1/models/m"),
        ("PATCH", "/v1/models/m"),
    ],
)
def test_malformed(method, target):
    with pytest.raises(Refused, match=f"^{re.escape(f'Malformed request: {method} {target}')}$") as caught:
        read_route(method, target)
    assert caught.value.http_status == 400


@pytest.mark.parametrize("target", ["/v1/models", "/v1/models/versions/1", "/v1/models/labels/x/metadata"])
def test_missing_name(target):
    with pytest.raises(Refused, match=r"^Missing model name in request\.$"):
        read_route("GET", target)


@pytest.mark.parametrize("digits", ["9223372036854775808", "9" * 5000])
def test_version_too_large(digits):
    with pytest.raises(RefusedWithoutBody, match=f"^Failed to convert version: {digits} to numeric.$"):
        read_route("GET", f"/v1/models/m/versions/{digits}")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v2/health/ready", 404),
        ("GET", "//v1/models/m", 404),
        ("OPTIONS", "*", 404),
        ("GET", "/v1/models/%zz", 400),
        ("GET", "/v1/models/a|b", 400),
        ("GET", "/v1/models/ä", 400),
        ("TRACE", "/v1/models/m", 501),
        ("BREW", "/", 501),
    ],
)
def test_pages(method, target, status):
    with pytest.raises(Page) as caught:
        read_route(method, target)
    assert caught.value.status == status
    assert caught.value.body == page(status)
    assert page(404) == (
        b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
    )


def test_preflight():
    assert preflight("http://a.b") == preflight("https://a.b") == 200
    assert preflight(None) == preflight("") == preflight("null") == 400


@pytest.mark.parametrize(
    "target", ["/v1/models/x?" + "a?" * 20_000 + '"', "a" * 40_000 + '"', "/v1/models" + "/a" * 20_000]
)
def test_hostile_targets_are_refused_at_once(target):
    start = time.perf_counter()
    path_and_query(target)
    with pytest.raises((Page, Refused)):
        read_route("GET", target)
    assert time.perf_counter() - start < 1.0
