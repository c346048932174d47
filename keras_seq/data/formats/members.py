"""Table files of a folder or pattern, each with its unit, its part and its sub-folder; what is passed over."""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_seq import files
from keras_seq.data.formats.registry import PARQUET_SUFFIXES, known_formats
from keras_seq.data.reading.reading import Shape
from keras_seq.data.remote import local_path
from keras_seq.errors import DataError

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".tab")
SHOWN_NAMES = 12
PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")
_ABOUT = ("readme", "license", "licence", "source", "changelog", "notes", "citation", "about", "requirements")
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class TableFile:
    """One table file: its path, unit, part ("": it tells none), and the sub-folder it lies in ("": none)."""

    path: Path
    unit: str
    part: str = ""
    folder: str = ""


def is_many(path: Path) -> bool:
    """Whether a path means several files: a folder of tables, or a pattern such as ``runs/*.csv``."""
    return path.is_dir() or (_WILD.search(str(path)) is not None and not path.exists())


def root_of(path: Path) -> Path:
    """The folder below which the files of a folder or pattern lie."""
    while not path.is_dir() and (_WILD.search(str(path)) or path.is_file()):
        path = path.parent
    return path


def table_stem(path: Path) -> str:
    """A name for a table file, folder or pattern: without endings such as ``.csv.gz``."""
    name = path.name if not _WILD.search(path.name) or path.exists() else root_of(path).name
    for packed in PACKED:
        name = name.removesuffix(packed)
    known = name.lower().endswith(_suffixes())
    return (name.rpartition(".")[0] if known else name) or "table"


def files_below(path: Path) -> list[Path]:
    """Every file of a folder or pattern, in natural order (run2 before run10)."""
    if path.is_dir():
        found = [one for one in path.rglob("*") if one.is_file()]
    else:
        found = [Path(one) for one in glob.glob(str(path), recursive=True) if Path(one).is_file()]
    return sorted(found, key=lambda one: _natural(one.as_posix()))


def list_members(path: Path, labels: Path | None = None) -> tuple[list[TableFile], list[str]]:
    """Table files of a folder or pattern (or the one file) in natural order, and the names of those passed over.

    Raises:
        DataError: there is none.
    """
    root = root_of(path)
    below = [path] if path.is_file() else files_below(path)
    tables = [one for one in below if path.is_file() or _is_table(one, root, labels, path)]
    if not tables:
        what = "is a folder without table files" if path.is_dir() else "matches no table file"
        raise DataError(f"'{path}' (data.path) {what}; CSV, Parquet, Excel and the like are read. Name another one.")
    hidden = [one for one in below if any(part.startswith(".") for part in one.relative_to(root).parts)]
    passed = [one.relative_to(root).as_posix() for one in below if one not in {*tables, *hidden} and one != labels]
    folders = [one.relative_to(root).parts[:-1] for one in tables]
    parts = [_part(words) for words in folders]
    if not all(parts):
        parts = [""] * len(tables)
    rest = ["/".join(word for word in words if not (all(parts) and _part((word,)))) for words in folders]
    names = _units(tables, root)
    return [TableFile(*one) for one in zip(tables, names, parts, rest, strict=True)], passed


def table_bytes(path: Path) -> int:
    """Size of a table file, or of all files of a folder or pattern."""
    return sum(one.stat().st_size for one in (files_below(path) if is_many(path) else [path]))


def listed(names: Sequence[str]) -> str:
    """The first names of columns, on one line, for messages."""
    return ", ".join(" ".join(name.split())[:40] for name in names[:SHOWN_NAMES])


def doubled_members(members: Sequence[TableFile]) -> list[list[str]]:
    """Units whose files have the same content, byte for byte."""
    by_size: dict[int, list[TableFile]] = defaultdict(list)
    for member in members:
        by_size[member.path.stat().st_size].append(member)
    same: dict[str, list[str]] = defaultdict(list)
    for alike in by_size.values():
        for member in alike if len(alike) > 1 else ():
            same[files.sha256(member.path)].append(member.unit)
    return [units for units in same.values() if len(units) > 1]


def labels_file(path: Path, shape: Shape) -> Path | None:
    """The table of labels of a shape: one of that name in the folder itself, else as it was given; None: none such."""
    return labels_path(path, shape.labels)


def labels_path(path: Path, labels: str | None) -> Path | None:
    """As ``labels_file``, by ``data.labels``."""
    if labels is None:
        return None
    given = local_path(labels)
    inside = root_of(path) / given
    places = [inside] if not given.is_absolute() and len(given.parts) == 1 and is_many(path) else []
    return next((one for one in (*places, given) if one.is_file()), None)


def _suffixes() -> tuple[str, ...]:
    own = [suffix for one in known_formats().values() for suffix in one.suffixes]
    return (*TEXT_SUFFIXES, *PARQUET_SUFFIXES, *own)


def _is_table(file: Path, root: Path, labels: Path | None, asked: Path) -> bool:
    inside = file.relative_to(root)
    if any(part.startswith((".", "_")) for part in inside.parts) or not file.stat().st_size:
        return False
    if labels is not None and file.exists() and labels.exists() and file.samefile(labels):
        return False
    name = file.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return not asked.is_dir() or (name.endswith(_suffixes()) and not name.startswith(_ABOUT))


def _part(words: Sequence[str]) -> str:
    """The first of a file's folders that is called train, validation or test."""
    from keras_seq.data.sources.part_column import PART_WORDS

    return next((PART_WORDS[word.lower()] for word in words if word.lower() in PART_WORDS), "")


def _units(tables: Sequence[Path], root: Path) -> list[str]:
    """A name for each file: its stem; the path where stems are the same; the file's name where that is, too."""
    ways: tuple[Callable[[Path], str], ...] = (
        table_stem,
        lambda one: (one.parent.relative_to(root) / table_stem(one)).as_posix(),
        lambda one: one.relative_to(root).as_posix(),
    )
    for way in ways:
        names = [way(one) for one in tables]
        if len(set(names)) == len(names):
            break
    return names


def _natural(text: str) -> list[str | int]:
    return [int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", text)]
