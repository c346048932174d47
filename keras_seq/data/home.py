"""The data home: the folder below which every known data set has its own folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from keras_seq.errors import DataError

VARIABLE = "KERAS_SEQ_DATA"
DEFAULT = Path("~/.cache/keras_seq")
STORES = "KERAS_SEQ_STORES"


def data_home(config_home: str | None = None) -> Path:
    """The folder of data sets: ``config_home``, else ``KERAS_SEQ_DATA``, else ``~/.cache/keras_seq``.

    The folder need not exist; ``require`` complains where files of it are needed.
    """
    return Path(config_home or os.environ.get(VARIABLE) or DEFAULT).expanduser()


def stores_home() -> Path:
    """Folder of what is kept of users' tables: ``KERAS_SEQ_STORES``, else ``keras_seq/stores`` in the cache folder."""
    named = os.environ.get(STORES)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named).expanduser() if named else cache / "keras_seq" / "stores"


def absent(home: Path, folder: str, files: Iterable[str]) -> list[str]:
    """Names among ``files`` that are not in ``home/folder``."""
    return [name for name in files if not (home / folder / name).is_file()]


def require(source: str, folder: str, files: Iterable[str], config_home: str | None = None) -> list[Path]:
    """Paths of the files of a known set, in the order given.

    Raises:
        DataError: one of them is missing or empty; names the folder and the ways to point elsewhere.
    """
    files = list(files)
    home = data_home(config_home)
    missing = absent(home, folder, files)
    if missing:
        raise DataError(
            f"Source '{source}' needs {_names(missing)} in the folder '{home / folder}', which "
            f"{'does not hold them' if (home / folder).is_dir() else 'does not exist'}. Put the files there, point "
            f"--data.home or the variable {VARIABLE} at the folder that holds '{folder}/', or try "
            f"'python -m keras_seq.data fetch {source}'."
        )
    paths = [home / folder / name for name in files]
    for path in paths:
        if path.stat().st_size == 0:
            raise DataError(f"File '{path}' of source '{source}' is empty; fetch or copy it again.")
    return paths


def _names(files: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in files[:4]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
