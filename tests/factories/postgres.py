"""A PostgreSQL of the tests' own: a temporary cluster on loopback, on a free port, gone with the tests."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, PASSWORD = "lab", "s3cret word%40"
REQUIRED = "KERAS_SEQ_REQUIRE_POSTGRES"  # set where it is installed for the tests: its absence then fails them
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Postgres:
    """A running server; ``PASSWORD`` is that of its superuser ``USER``."""

    port: int

    def url(self, database: str = "postgres") -> str:
        """Of a database, without a password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements: str) -> list[tuple]:
        """Execute statements, each for itself; rows of the last one."""
        import psycopg

        rows: list[tuple] = []
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def copy(self, table: str, csv: str) -> None:
        """Fill a table with CSV text that has a header."""
        import psycopg

        with (
            psycopg.connect(
                host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname="postgres"
            ) as connection,
            connection.cursor().copy(f'COPY "{table}" FROM STDIN WITH (FORMAT csv, HEADER)') as out,
        ):
            out.write(csv)


def binaries() -> Path:
    """Folder of ``initdb`` and ``postgres``; skips, or fails where it is required."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    named = shutil.which("initdb")
    if not found and not named:
        reason = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    return found[-1].parent if found else Path(named or "").resolve().parent


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A cluster that asks for a password, in a folder below the system's temporary one."""
    folder = Path(tempfile.mkdtemp(prefix="keras_seq_postgres-"))
    bin, who = binaries(), _other_user()
    try:
        word = folder / "word"
        word.write_text(PASSWORD)
        if who:
            for path in (folder, word):
                shutil.chown(path, who["user"], who["group"])
        options = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={word}", "--locale=C", "-E", "UTF8", "--no-sync"]
        made = [str(bin / "initdb"), "-D", str(folder / "data"), *options]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **who)
        yield from _serving(bin, folder, who)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serving(bin: Path, folder: Path, who: dict) -> Iterator[Postgres]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fast = ("fsync=off", "shared_buffers=32MB", "max_connections=20", "timezone=UTC", "max_wal_size=256MB")
    words = [str(bin / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    words += [word for setting in fast for word in ("-c", setting)]
    server = Postgres(port)
    prctl = ctypes.CDLL(None).prctl
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            words,
            stdout=log,
            stderr=log,
            cwd=folder,
            preexec_fn=lambda: prctl(_DIE_WITH_PARENT, signal.SIGINT),
            **who,
        )
    try:
        _wait(server, process, folder / "log")
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown
        process.wait(60)


def _wait(server: Postgres, process: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            server.run("SELECT 1")
            return
        except Exception:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _other_user() -> dict:
    """Whom PostgreSQL runs as, where the tests run as root, which it refuses."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_name, "group": entry.pw_gid, "extra_groups": []}
