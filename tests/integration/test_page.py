"""The page of the extras in a real browser: it shows the models, asks them, and reaches no other host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest

from keras_seq.errors import ServingError
from serving.client import Client, Retry
from tests.factories.versions import version
from tests.integration.test_client import free_ports

pytestmark = pytest.mark.slow
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESK = (390, 844), (1200, 900)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A server of one version with the page on."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: pages need a browser")
    folder = tmp_path_factory.mktemp("page")
    (folder / "casts").mkdir()
    shutil.copytree(version("casts").folder, folder / "casts" / "1")
    (port,) = free_ports(1)
    flags = [f"--models={folder}", f"--rest_api_port={port}", "--port=0", "--backend=embedded"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "serving", *flags, "--extras_prefix=/keras_seq"],
            stdout=log,
            stderr=log,
            env=os.environ,
        )
    try:
        end = time.monotonic() + 120
        with Client(f"http://127.0.0.1:{port}", retry=Retry(attempts=1)) as client:
            while time.monotonic() < end and server.poll() is None:
                try:
                    if client.status("casts")[0].state == "AVAILABLE":
                        break
                except ServingError:
                    time.sleep(0.3)
            else:
                pytest.fail(f"the server did not start: {(folder / 'log').read_text()[-2000:]}")
            for _ in range(5):
                client.predict("casts", _row(client))
        yield f"http://127.0.0.1:{port}/keras_seq"
    finally:
        server.terminate()
        server.wait(30)


def _row(client):
    from serving.client.calls import VersionTarget

    width = client.signature(VersionTarget("casts")).inputs["values"].shape[2]
    return [[[0.0] * width] * 4]


def browse(url, folder, size, *more):
    """Screenshot file and the DOM after sixteen virtual seconds: three looks at the server."""
    picture = folder / f"{size[0]}.png"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}"]
    command += ["--virtual-time-budget=16000", f"--screenshot={picture}", "--dump-dom", *more, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return picture, done.stdout, done.stderr


class Text(HTMLParser):
    """Visible words of a page."""

    def __init__(self, page):
        super().__init__()
        self.words, self.inside = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            while self.inside.pop() != tag:
                pass

    def handle_data(self, data):
        if not {"script", "style", "noscript"} & set(self.inside[-1:]):
            self.words.append(data)

    def __str__(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def seen(url, tmp_path_factory):
    return browse(url, tmp_path_factory.mktemp("desk"), DESK)


def test_models_states_and_latency_are_shown(seen):
    _, page, _ = seen
    text = str(Text(page))
    for words in (
        "casts",
        "✓ every model answers",
        "✓ available",
        "binary",
        "latency p50",
        "features",
        "Try a request",
    ):
        assert words in text, text
    assert re.search(r"calls 5\b", text), text
    assert re.search(r"latency p95 [\d.]+ ms", text), text
    assert "<polyline" in page  # calls a second, from the second look on


def test_the_form_holds_an_example_and_the_models(seen):
    _, page, _ = seen
    assert re.search(r'<option value="casts">casts</option>', page)
    assert re.search(r'<option value="1">1</option>', page)


def test_nothing_is_said_by_colour_alone(seen):
    """Every coloured word begins with a sign of its own."""
    _, page, _ = seen
    coloured = re.findall(r'<span(?: id="ready")?(?: role="status")? class="(good|wait|bad)"[^>]*>(.)', page)
    assert coloured
    signs = {"good": "✓", "wait": "…", "bad": "✗"}
    assert all(signs[kind] == first for kind, first in coloured)


def test_a_request_from_the_page_is_answered(url, tmp_path):
    """A copy of the page that presses its own buttons, served by this test's hand to the same scripts."""
    from urllib.request import urlopen

    page = urlopen(url).read().decode()
    press = "<script>setTimeout(() => document.querySelector('button[type=submit]').click(), 3000)</script></body>"
    assert "</body>" in page
    front = Proxy(url, page.replace("</body>", press))
    try:
        _, dom, _ = browse(front.url, tmp_path, PHONE)
    finally:
        front.close()
    text = str(Text(dom))
    assert "✓ answered in" in text and '"probability"' in text, text


def test_a_phone_shows_it_without_sideways_scrolling(url, tmp_path):
    """The page tells its own width: no element is wider than the screen."""
    from urllib.request import urlopen

    page = urlopen(url).read().decode()
    measure = (
        "<script>setTimeout(() => { document.documentElement.dataset.wide = "
        "document.documentElement.scrollWidth + ' ' + window.innerWidth; }, 3000)</script></body>"
    )
    front = Proxy(url, page.replace("</body>", measure))
    try:
        picture, dom, _ = browse(front.url, tmp_path, PHONE)
    finally:
        front.close()
    wide, screen = map(int, re.search(r'data-wide="(\d+) (\d+)"', dom).groups())
    assert wide <= screen
    assert picture.stat().st_size > 10_000


class Proxy:
    """Hands out a changed page and passes everything else on."""

    def __init__(self, url, page):
        import threading
        import urllib.error
        import urllib.request
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
        from urllib.parse import urlsplit

        origin = f"http://{urlsplit(url).netloc}"

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == urlsplit(url).path:
                    return self.answer(200, "text/html; charset=utf-8", page.encode())
                return self.hand_on(None)

            def do_POST(self):
                self.hand_on(self.rfile.read(int(self.headers["Content-Length"])))

            def hand_on(self, body):
                try:
                    with urllib.request.urlopen(urllib.request.Request(origin + self.path, body)) as reply:
                        self.answer(reply.status, reply.headers["Content-Type"], reply.read())
                except urllib.error.HTTPError as error:
                    self.answer(error.code, error.headers["Content-Type"], error.read())

            def answer(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{urlsplit(url).path}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
