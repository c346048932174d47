"""A real server process for tests, and raw HTTP to talk to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTED = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """``python -m serving --backend=embedded`` with free ports; a context manager that waits until it answers."""

    def __init__(self, *flags, grpc=True, host="127.0.0.1"):
        self.host, self.rest, self.grpc = host, free_port(), free_port() if grpc else 0
        self.flags = [f"--rest_api_port={self.rest}", f"--port={self.grpc}", *flags]
        self.said: list[str] = []

    def __enter__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--backend=embedded", *self.flags],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        limit = time.monotonic() + STARTED
        while not any("Exporting HTTP/REST API" in line for line in self.said):
            if self.process.poll() is not None or time.monotonic() > limit:
                self.__exit__()
                raise AssertionError(f"the server did not start: {''.join(self.said)}")
            time.sleep(0.05)
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self._listener.join(5)

    def _listen(self):
        for line in self.process.stderr:
            self.said.append(line)

    @property
    def text(self) -> str:
        """What it said on stderr."""
        return "".join(self.said)

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid and fields[0] != "Z":
                found.append(int(entry.name))
        return found

    def connect(self, timeout=30.0) -> socket.socket:
        return socket.create_connection((self.host, self.rest), timeout=timeout)

    def ask(self, method, path, body=None, headers=None, *, version="1.1", timeout=60.0, on=None) -> Reply:
        """One request, on a connection of its own or on ``on``."""
        data = request(method, path, body, headers, version=version)
        if on is not None:
            on.sendall(data)
            return read_reply(on, method)
        with self.connect(timeout) as client:
            client.sendall(data)
            return read_reply(client, method)

    def predict(self, model, body, **options) -> Reply:
        return self.ask("POST", f"/v1/models/{model}:predict", json.dumps(body), **options)


class Reply:
    """Status, headers by name in lower case, body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"Reply({self.status}, {self.headers}, {self.body[:300]!r})"


def request(method, path, body=None, headers=None, *, version="1.1") -> bytes:
    headers = {"Host": "x", **(headers or {})}
    content = body.encode() if isinstance(body, str) else (body or b"")
    if headers.get("Transfer-Encoding") == "chunked":
        half = max(1, len(content) // 2)
        pieces = [content[:half], content[half:]]
        content = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"
    elif body is not None:
        headers["Content-Length"] = str(len(content))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode() + content


def read_reply(client, method="GET") -> Reply:
    """Read one reply off a socket; without a length, until it ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = client.recv(65536)
        if not chunk:
            raise ConnectionError(f"the connection ended after {data!r}")
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if method == "HEAD":
        return Reply(int(first.split()[1]), headers, b"")
    wanted = int(headers["content-length"]) if "content-length" in headers else None
    while wanted is None or len(body) < wanted:
        chunk = client.recv(65536)
        if not chunk:
            break
        body += chunk
    return Reply(int(first.split()[1]), headers, body)
