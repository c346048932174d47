"""Atomic files and folders: everything lands under its final name complete, or not at all; locks and digests."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from keras_seq.errors import OutputError
from keras_seq.machine import is_running

MINIMUM_FREE_MB = 100
FORGOTTEN = 24 * 3600.0  # seconds after which a half that another machine left is removed
_OWNED = re.compile(r"^(?:\..*\.partial|\..*\.old|keras_seq)-(?:([0-9a-f]{6})-)?(\d+)")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux


def ensure_writable(folder: str | Path, *, need_mb: int = MINIMUM_FREE_MB) -> Path:
    """Create ``folder`` and prove that it takes files, before long work starts.

    Raises:
        OutputError: the folder cannot be made or written, or its disk has less than ``need_mb`` free.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
        free_mb = shutil.disk_usage(folder).free // 2**20
    except OSError as error:
        raise OutputError(
            f"The output folder '{folder}' cannot be written ({error.strerror or error}). "
            "Choose another one with --output, or mend its permissions or disk."
        ) from None
    if free_mb < need_mb:
        raise OutputError(
            f"The disk of '{folder}' has {free_mb} MB free, at least {need_mb} MB are needed. "
            "Free some space or choose another folder with --output."
        )
    return folder


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write; it is flushed and renamed over ``path`` if the block succeeds.

    Raises:
        OutputError: ``path`` cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial-{owner()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written ({error.strerror or error}).") from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file atomically."""
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, value: object) -> Path:
    """Write ``value`` as indented JSON, atomically."""
    return write_text(path, json.dumps(value, indent=2, default=_plain) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


@contextmanager
def new_folder(target: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a folder beside ``target`` to fill; it is renamed to ``target`` if the block succeeds.

    Args:
        target: the final folder.
        replace: take the place of an existing ``target``; otherwise its existence is an error.

    Raises:
        OutputError: ``target`` exists, or cannot be written.
    """
    target = Path(target)
    if target.exists() and not replace:
        raise OutputError(f"The folder '{target}' exists already; choose another number or name, or remove it first.")
    partial = target.with_name(f".{target.name}.partial-{owner()}")
    try:
        sweep(target.parent)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        _move_into_place(partial, target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"'{target}' cannot be written ({error.strerror or error}).") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move_into_place(partial: Path, target: Path) -> None:
    if not target.exists():
        os.rename(partial, target)
        return
    if _exchange(partial, target):  # what was there is now the partial one, and goes with it
        return
    old = target.with_name(f".{target.name}.old-{owner()}")
    os.rename(target, old)  # a folder cannot be renamed over a filled one
    os.rename(partial, target)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, where the system can (renameat2(2)): there is no moment without one."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and not rename(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary folder that goes with the block; what killed processes left of theirs goes first."""
    sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"keras_seq-{owner()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def owner() -> str:
    """Machine (since its start; a container is its own) and process that write, for names of partial files."""
    return f"{_machine()}-{os.getpid()}"


def is_gone(name: str) -> bool:
    """Whether an ``owner`` is a process of this machine that has ended; of other machines' nothing is known."""
    machine, _, number = name.rpartition("-")
    return machine == _machine() and number.isdigit() and not is_running(int(number))


@functools.cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        name = f"{boot}{os.stat('/proc/self/ns/pid').st_ino}"  # process numbers mean something only within these
    except OSError:
        name = os.uname().nodename
    return hashlib.sha256(name.encode()).hexdigest()[:6]


@functools.lru_cache(maxsize=256)
def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written, once a process; bring back a folder that was moved aside."""
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if _abandoned(path)]:
            head, old, _ = path.name[1:].rpartition(".old-")
            if old and not (folder / head).exists():
                os.rename(path, folder / head)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _abandoned(path: Path) -> bool:
    """Whether whoever wrote it is gone; of another machine's process that is believed after a day."""
    match = _OWNED.search(path.name)
    if match is None:
        return False
    if match[1] != _machine():
        return time.time() - path.lstat().st_mtime > FORGOTTEN
    return is_gone(f"{match[1]}-{match[2]}")


@contextmanager
def locked(path: str | Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file ``path``; it goes with the process that holds it, however that ends.

    Args:
        path: made if missing; its folder must exist.
        wait: for another holder to end, or raise at once.

    Raises:
        BlockingIOError: held by another process, and not ``wait``.
        OutputError: it cannot be written.
    """
    try:
        lock = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"The lock '{path}' cannot be written ({error.strerror or error}).") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(lock)


def sha256(path: str | Path) -> str:
    """Hex sha256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_as_written(path: str | Path) -> bool:
    """Whether a file has every sha256 that is known of it; a file of which none is known has.

    Looks at ``<file>.sha256`` and at the ``manifest.json`` of its folder and of the folder above: a bundle's, or a
    version's ``keras_seq/manifest.json``, whose names are relative to the folder above it.

    Raises:
        OutputError: a digest is there and cannot be read.
    """
    path = Path(path)
    beside, deep = path.with_name(path.name + ".sha256"), f"{path.absolute().parent.name}/{path.name}"
    names = {path.parent / "manifest.json": (path.name, deep), path.absolute().parents[1] / "manifest.json": (deep,)}
    known: list[Any] = []
    try:
        if beside.exists():
            known.append((beside.read_text(encoding="utf-8").split(maxsplit=1) or [""])[0])
        for manifest, places in names.items():
            listed = read_json(manifest).get("files", {}) if manifest.exists() else {}
            known += [listed[name] for name in places if name in listed]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise OutputError(
            f"The sha256 of '{path}' cannot be read from '{beside.name}' or a 'manifest.json' ({error}). Restore them "
            "from a copy."
        ) from None
    return not known or set(known) == {sha256(path)}


def _plain(value: Any) -> Any:
    """Numpy scalars and arrays, paths and tuples as JSON knows them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
