"""Official split of a table: a column of parts, or files beside it that are named as its validation and test parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from keras_seq.autoconfig.table import TableProfile
from keras_seq.data.sources.part_column import PART_WORDS

_TRAIN = re.compile(r"(?i)(?<![a-z])(?:training|train)(?![a-z])|(?<=data)(?:training|train)(?![a-z])")
_ENDINGS = {"test": "test", "testing": "test", "valid": "validation", "validation": "validation", "val": "validation"}


@dataclass(frozen=True)
class OfficialSplit:
    """Parts that come with the data: a column, or files.

    Attributes:
        column: says of each unit which part it is; None: files do.
        validation, test: files of the parts.
    """

    column: str | None = None
    validation: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()


def official_split(table: TableProfile) -> OfficialSplit | None:
    """The split that comes with a table; None where there is none."""
    column = table.roles.part or next((name for name in table.columns if _tells_parts(table, name)), None)
    if column:
        return OfficialSplit(column)
    files = _partners(table.path)
    return OfficialSplit(None, files["validation"], files["test"]) if files["test"] else None


def _tells_parts(table: TableProfile, name: str) -> bool:
    """Whether a column holds the words train and test, and maybe validation, and nothing else."""
    column = table.columns[name]
    if column.counts is None or column.missing or not 2 <= column.distinct <= 4:
        return False
    parts = {PART_WORDS.get(text.strip().lower()) for text in column.counts}
    return None not in parts and {"train", "test"} <= parts


def _partners(path: Path) -> dict[str, tuple[Path, ...]]:
    """Files beside ``path`` that have its name, but for another part's word in place of ``train``."""
    parts: dict[str, tuple[Path, ...]] = {"validation": (), "test": ()}
    named = list(_TRAIN.finditer(path.name))
    if len(named) != 1 or not path.exists():
        return parts
    head, tail = path.name[: named[0].start()], path.name[named[0].end() :]
    pattern = re.compile(rf"(?i){re.escape(head)}({'|'.join(_ENDINGS)})[-_]?\d*{re.escape(tail)}")
    for other in sorted(path.parent.iterdir()):
        if other.is_dir() == path.is_dir() and (match := pattern.fullmatch(other.name)):
            parts[_ENDINGS[match[1].lower()]] += (other,)
    return parts
