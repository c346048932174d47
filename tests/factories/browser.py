"""A headless Chromium over its debugging pipe, no driver needed: open a page, look, print."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page in one browser; what its console says and what it asks the network for is kept."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()

        def place() -> None:  # the browser reads from 3 and writes to 4
            one, two = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(one, 3)
            os.dup2(two, 4)

        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        options += ["--disable-dev-shm-usage", "--disable-background-networking", f"--user-data-dir={folder}"]
        self.process = subprocess.Popen(
            [CHROMIUM, *options, "about:blank"],
            preexec_fn=place,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out, self._held, self._number = ours_in, ours_out, b"", 0
        self.complaints: list[str] = []
        self.asked: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    session: str | None = None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next(60)
            if found.get("id") == self._number:
                assert "error" not in found, found
                return dict(found["result"])

    def open(self, path: Path, *, width: int, height: int = 900, scale: float = 1.0) -> float:
        """Open a file at a width in CSS pixels; the milliseconds until its load event."""
        self.complaints, self.asked = [], []
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 640,
        )
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.wait("document.readyState === 'complete'")
        return float(self.value("performance.timing.loadEventEnd - performance.timing.navigationStart"))

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"{expression} stayed false for {seconds} s; {self.complaints}"
            time.sleep(0.1)

    def scroll_through(self) -> None:
        """Past everything, as a reader does, until all charts are drawn."""
        y = 0
        while y < self.value("document.documentElement.scrollHeight"):  # it grows on the way
            self.value(f"window.scrollTo(0, {y})")
            time.sleep(0.05)
            y += 500
        self.wait("[...document.querySelectorAll('.chart')].every(chart => chart.dataset.done)")
        self.value("window.scrollTo(0, 0)")

    def shoot(self, path: Path) -> Path:
        """A PNG of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def print(self, path: Path) -> Path:
        """A PDF as the print dialogue would make it."""
        found = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def close(self) -> None:
        """End the browser."""
        os.close(self._out)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._in)

    def _next(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._in], [], [], seconds)
            assert ready, f"the browser said nothing for {seconds} s"
            piece = os.read(self._in, 2**20)
            assert piece, "the browser went away"
            self._held += piece
        line, _, self._held = self._held.partition(b"\0")
        found = json.loads(line)
        self._note(found)
        return dict(found)

    def _note(self, found: dict[str, Any]) -> None:
        method, params = found.get("method"), found.get("params", {})
        if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([one.get("value", one.get("description")) for one in params["args"]]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"])))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
