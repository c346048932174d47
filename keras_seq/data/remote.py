"""Tables on object stores and web servers, ``s3://`` or ``https://``, as local copies in the cache.

A copy is taken when the object is not there yet or has changed (by its ETag, or its size and time), so that every
format is read from disk in flat memory. Stores are reached by Arrow's own file systems, others by fsspec where it is
installed. Who may read is told by the environment (``AWS_ACCESS_KEY_ID``, ``GOOGLE_APPLICATION_CREDENTIALS`` ...),
never by the address, which stands in configurations and bundles.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keras_seq import files
from keras_seq.data.home import stores_home
from keras_seq.errors import ConfigError, DataError, KerasSeqError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

logger = logging.getLogger(__name__)
ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
SECRETS = re.compile(r"(^|[&?;_-])(sig|signature|token|secret|password|key|credential)s?=", re.IGNORECASE)
CONNECT, ANSWER = 10.0, 60.0  # seconds until a store is given up
FRESH = 30.0  # seconds for which a copy is taken as current without asking
KEPT = 7 * 24 * 3600.0  # seconds that a copy of an older version is kept unused
_CHECKED: dict[str, tuple[float, Path]] = {}


@dataclass(frozen=True)
class RemoteFile:
    """An object: path in the store, name below what was asked for, size in bytes, and a text that changes with it."""

    path: str
    name: str
    size: int
    version: str


def is_address(name: str | os.PathLike[str]) -> bool:
    """Whether a name is an address (``s3://...``) rather than a path."""
    return ADDRESS.match(str(name)) is not None


def local_path(name: str | os.PathLike[str]) -> Path:
    """The path of a file, folder or pattern; of an address that of its copy in the cache.

    Raises:
        ConfigError: the address holds a password, or its kind needs a package that is not installed.
        DataError: it cannot be reached or read, or there is nothing there.
    """
    text = os.fspath(name)
    if not is_address(text):
        return Path(text).expanduser()
    _refuse_secrets(text)
    when, path = _CHECKED.get(text, (-FRESH, Path()))
    if time.monotonic() - when < FRESH and path.exists():
        return path
    with _readable_errors(text):
        path = _copy_http(text) if urlsplit(text).scheme in ("http", "https") else _copy_store(text)
    _CHECKED[text] = (time.monotonic(), path)
    return path


def _refuse_secrets(address: str) -> None:
    parts = urlsplit(address)
    if "@" in parts.netloc and not parts.scheme.startswith("abfs"):
        safe = address.replace(f"{parts.netloc.rpartition('@')[0]}@", "")
        raise ConfigError(
            f"The address '{safe}' names a user or password, which would stand in configurations and logs. Give them "
            "by the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS ...)."
        )
    if SECRETS.search(f"?{parts.query}"):
        raise ConfigError(
            f"The address '{address.partition('?')[0]}?...' holds a signature or key; it would stand in configurations "
            "and logs. Use the store's own address (s3://bucket/file) and give the key by the environment."
        )


def _folder(address: str, version: str) -> Path:
    """Where the copy of a version lies: ``remote/<address>/<version>`` in the cache."""
    keys = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in (address, version)]
    return stores_home() / "remote" / keys[0] / keys[1]


def _copy_http(address: str) -> Path:
    name = PurePosixPath(urlsplit(address).path).name
    if not name:
        raise DataError(f"The address '{address}' names no file; folders of web servers cannot be listed.")
    with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=CONNECT) as answer:
        facts = [answer.headers.get(word) or "" for word in ("ETag", "Last-Modified", "Content-Length")]
    target = _folder(address, "|".join(facts) if any(facts[:2]) else str(time.time_ns())) / name
    if not target.is_file():
        size = int(facts[2]) if facts[2].isdigit() else 0
        with urllib.request.urlopen(address, timeout=ANSWER) as answer:
            _write(target, answer, size, address)
    _forget_older(target.parent)
    return target


def _copy_store(address: str) -> Path:
    """Copies of the object, or of all below a folder or pattern, under the same names."""
    store, path = _open_store(address)
    members = _members(store, path)
    if not members:
        raise DataError(f"There is nothing at '{address}' (data.path). Check bucket and name, and who may read it.")
    version = "\n".join(f"{one.name}\0{one.size}\0{one.version}" for one in members)
    folder = _folder(address, version)
    alone = len(members) == 1 and members[0].path == path
    missing = [one for one in members if not _is_there(folder / one.name, one.size)]
    for one in missing:
        with store.open_input_stream(one.path, compression=None) as stream:
            _write(folder / one.name, stream, one.size, address)
    if missing and _members(store, path) != members:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(f"'{address}' changes while it is copied. Nothing was kept; try again when it is written.")
    _forget_older(folder)
    return folder / members[0].name if alone else folder / PurePosixPath(_root(path)).name


def _is_there(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def _forget_older(newest: Path) -> None:
    """Remove copies of other versions of an address that nobody has used for a week."""
    os.utime(newest)
    for folder in newest.parent.iterdir():
        with suppress(OSError):
            if folder != newest and time.time() - folder.stat().st_mtime > KEPT:
                shutil.rmtree(folder)


def _root(path: str) -> str:
    """The folder of a pattern, or the path itself."""
    parts = path.rstrip("/").split("/")
    first = next((number for number, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
    return "/".join(parts[:first])


def _members(store: FileSystem, path: str) -> list[RemoteFile]:
    from pyarrow.fs import FileSelector, FileType

    root = _root(path)
    if root == path.rstrip("/"):
        info = store.get_file_info(path.rstrip("/"))
        if info.type == FileType.File:
            return [RemoteFile(path, PurePosixPath(path).name, info.size, str(info.mtime_ns))]
    infos = store.get_file_info(FileSelector(root, allow_not_found=True, recursive=True))
    pattern = None if root == path.rstrip("/") else path
    chosen = [
        info
        for info in infos
        if info.type == FileType.File and (pattern is None or fnmatch.fnmatchcase(info.path, pattern))
    ]
    name = PurePosixPath(root).name
    return [
        RemoteFile(info.path, f"{name}/{info.path[len(root) :].lstrip('/')}", info.size, str(info.mtime_ns))
        for info in sorted(chosen, key=lambda info: info.path)
    ]


def _open_store(address: str) -> tuple[FileSystem, str]:
    """The file system of an address and the path in it."""
    from pyarrow import fs

    parts = urlsplit(address, allow_fragments=False)
    path = f"{parts.netloc}{parts.path}"
    if parts.scheme == "s3":
        return _open_s3(parts.netloc), path
    if parts.scheme in ("gs", "gcs"):
        from datetime import timedelta

        anonymous = "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ
        return fs.GcsFileSystem(anonymous=anonymous, retry_time_limit=timedelta(seconds=ANSWER)), path
    if parts.scheme in ("abfs", "abfss"):
        return fs.FileSystem.from_uri(address)
    try:
        import fsspec
    except ImportError:
        raise ConfigError(
            f"The address '{address}' is of kind '{parts.scheme}', which fsspec reads: pip install keras-seq[objects], "
            "and the package that fsspec names for it. s3://, gs://, abfs:// and https:// need none."
        ) from None
    store, path = fsspec.core.url_to_fs(address)
    return fs.PyFileSystem(fs.FSSpecHandler(store)), path


def _open_s3(bucket: str) -> Any:
    """S3 or what speaks it (``AWS_ENDPOINT_URL``); without keys anywhere as a stranger, for public buckets."""
    from pyarrow import fs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    anonymous = not any(name in os.environ for name in keys) and not Path("~/.aws").expanduser().is_dir()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        anonymous=anonymous,
        region=region,
        endpoint_override=endpoint,
        connect_timeout=CONNECT,
        request_timeout=ANSWER,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
    )


def _write(target: Path, stream: IO[bytes], size: int, address: str) -> None:
    """Write a copy; it appears whole or not at all.

    Raises:
        OutputError: the disk is full. DataError: fewer bytes came than the store told.
    """
    files.ensure_writable(target.parent, need_mb=size // 2**20 + 10)
    logger.info("copying '%s' (%.0f MB) to '%s'", address, size / 1e6, target)
    with files.new_file(target) as partial:
        with open(partial, "wb") as out:
            shutil.copyfileobj(stream, out, 2**20)
        written = partial.stat().st_size
        if size and written != size:
            raise DataError(f"'{address}' broke off after {written} of {size} bytes. Nothing was kept; try again.")


@contextmanager
def _readable_errors(address: str) -> Iterator[None]:
    """Errors of stores and networks as one paragraph."""
    try:
        yield
    except KerasSeqError:
        raise
    except urllib.error.HTTPError as error:
        what = {401: "is not for everybody", 403: "is not for everybody", 404: "does not exist"}.get(error.code)
        raise DataError(
            f"'{address}' {what or 'cannot be read'} (the server says {error.code} {error.reason}). Check the address, "
            "or fetch the file yourself and name it."
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", None) or error or type(error).__name__).split())
        what = "may not be read with these credentials" if _is_denied(reason) else "cannot be read"
        raise DataError(
            f"'{address}' {what} ({reason[:200]}). Check the address, the network, and that the environment holds what "
            "the store asks for (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, "
            "GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_KEY)."
        ) from None


def _is_denied(reason: str) -> bool:
    words = r"access.?denied|forbidden|HTTP status 403|InvalidAccessKeyId|SignatureDoesNotMatch"
    return re.search(words, reason, re.IGNORECASE) is not None
