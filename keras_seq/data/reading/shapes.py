"""Shape of a table that is made of others: of a folder's files, of a wide table, or with labels joined."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from keras_seq.config import DataConfig
from keras_seq.config.data import WideConfig
from keras_seq.data.formats.labels import refuse_foreign_labels
from keras_seq.data.formats.members import is_many, labels_file, list_members, listed
from keras_seq.data.formats.registry import format_name
from keras_seq.data.reading.batches import column_names, column_roles
from keras_seq.data.reading.named_dates import period_formats
from keras_seq.data.reading.reading import Reading, Shape
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from keras_seq.data.series import Schema


class Facts(Protocol):
    """What is known of a table (``settle.TableFacts``)."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def reading(self) -> Reading:
        """How it is read."""

    @property
    def kinds(self) -> Mapping[str, str]:
        """What each column holds, by name in file order."""

    @property
    def names(self) -> list[str]:
        """Names of the columns in file order."""


FILE = "file"  # column that names the files of a folder
Settle = Callable[[Path, DataConfig], Facts]
TIMES = ("time", "date", "datetime", "timestamp", "ds", "t", "step", "year", "month", "week", "day", "hour", "period")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|(19|20)\d{2}([01]\d([0-3]\d)?|Q[1-4])"
)
_STEP = re.compile(r"[A-Za-z_ ]*\d+|(?i:(?:t|time|step|now)[ _]?[-+\u2212] ?\d+)")
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_PERIOD = re.compile(rf"(?i){_MONTH}[-/_. ']+(?:\d{{4}}|\d{{2}})|\d{{4}}[-/_. ]*{_MONTH}|{_MONTH}\d{{4}}")


def settle_shape(path: Path, config: DataConfig, settle: Settle) -> Shape | None:
    """How the table of ``data.path`` is made, by ``data.labels``, a folder, ``data.wide``; None: it lies so.

    Args:
        path: file, folder or pattern.
        config: the data section.
        settle: tells the facts of a table (``settle_table``).

    Raises:
        ConfigError: an option that the table does not bear.
        DataError: a table cannot be read.
    """
    if config.labels:
        return _labelled(path, config, settle)
    if _is_folder(path):
        return _folder(path, config, settle)
    if config.wide.shape is None:
        return None
    facts = settle(path, config.model_copy(update={"wide": WideConfig()}))
    return _across(facts, config) if config.wide.shape == "rows" else _series(facts, config)


def shape_of_files(path: Path, reading: Reading, unit: str | None) -> Reading:
    """The reading of a folder by a schema whose training table was one file: each file is read as that one was."""
    if not _is_folder(path) or _holds_folder(reading.shape):
        return reading
    return reading.model_copy(update={"shape": Shape(kind="folder", file=reading, unit=unit)})


def schema_of_files(path: Path, schema: Schema) -> Schema:
    """The schema of a model without units for a folder: each of its files is a unit."""
    return schema.model_copy(update={"unit_column": FILE}) if not schema.unit_column and _is_folder(path) else schema


def looks_like_date(name: str) -> bool:
    """Whether the name of a column is a date or a period (``Jan-10``, ``2020-Q1``), as those of a wide table are."""
    name = name.strip()
    return any(pattern.fullmatch(name) for pattern in (_DATE, _PERIOD)) or bool(period_formats([name]))


def _is_folder(path: Path) -> bool:
    return is_many(path) and format_name(path) == "folder"


def _folder(path: Path, config: DataConfig, settle: Settle) -> Shape:
    """The files of a folder, read as its first one; the table of labels is none of them."""
    labels = labels_file(path, Shape(kind="labels", file=Reading(), labels=config.labels))
    members, _ = list_members(path, labels)
    first = settle(members[0].path, config.model_copy(update={"labels": None}))
    unit = config.unit if config.unit in first.names else None
    return Shape(kind="folder", file=first.reading, unit=unit, labels=config.labels)


def _holds_folder(shape: Shape | None) -> bool:
    return shape is not None and (shape.kind == "folder" or _holds_folder(shape.file.shape))


def _labelled(path: Path, config: DataConfig, settle: Settle) -> Shape:
    given = Shape(kind="labels", file=Reading(), labels=config.labels)
    table = labels_file(path, given)
    if table is None:
        raise ConfigError(f"data.labels={config.labels!r} is no file, and '{path}' holds none of that name.")
    if _is_folder(path):
        reading = Reading(shape=_folder(path, config, settle))
    else:
        reading = settle(path, config.model_copy(update={"labels": None})).reading
    names = column_names(path, reading)
    unit = config.unit or column_roles(path, reading).unit
    if unit not in names:
        raise ConfigError(
            f"data.labels joins labels by unit, but '{path}' has no unit column{f' {unit!r}' if unit else ''}; name it "
            f"with data.unit. Its columns: {listed(names)}."
        )
    plain = {"labels": None, "wide": WideConfig(), "unit": None}
    own = settle(table, config.model_copy(update=plain))
    shape = given.model_copy(update={"file": reading, "unit": unit, "labels_reading": own.reading})
    refuse_foreign_labels(path, table, shape)
    return shape


def _series(facts: Facts, config: DataConfig) -> Shape:
    """A column a series: the time, words, and what ``data.wide.keep`` names stay; the rest are series."""
    kinds = facts.kinds
    _known(config.wide.keep, facts)
    free = [name for name in kinds if name not in config.wide.keep]
    words = [name for name in free if kinds[name] in ("text", "date")]
    named = [name for name in free if name.lower() in TIMES]
    asked = config.time if isinstance(config.time, str) else None
    time = asked if asked in kinds else next(iter([name for name in named if name in words] or named or words), None)
    aside = tuple(name for name in words if name != time)
    keep = tuple(name for name in kinds if name in (*config.wide.keep, *aside) or name == time)
    if len(kinds) - len(keep) < 1:
        raise ConfigError(f"data.wide: '{facts.path}' has no column of numbers beside {listed(keep)}.")
    return Shape(kind="columns", file=facts.reading, time=time, keep=keep, aside=aside, **_names(config, "series"))


def _across(facts: Facts, config: DataConfig) -> Shape:
    """A row a series: columns called by steps or dates hold its values, the others tell of it, the first its name."""
    kinds = facts.kinds
    _known(config.wide.keep, facts)
    free = [name for name in kinds if name not in config.wide.keep and kinds[name] in ("number", "empty")]
    dates = [name for name in free if looks_like_date(name)]
    signed = any("-" in name or "\u2212" in name for name in free if _STEP.fullmatch(name))
    steps = [name for name in free if _STEP.fullmatch(name) or (signed and name.lower() in ("t", "now"))]
    values = next((names for names in (dates, steps) if len(names) > 1), free)
    if len(values) < 2:
        raise ConfigError(f"data.wide rows: '{facts.path}' has fewer than two columns of numbers that could be steps.")
    keep = tuple(name for name in kinds if name not in values)
    unit = config.unit if config.unit in keep else keep[0] if keep else None
    dated = values == dates
    aside = tuple(name for name in keep if name not in (unit, *config.wide.keep))
    names = _names(config, unit or "series")
    return Shape(kind="rows", file=facts.reading, unit=unit, keep=keep, aside=aside, dated=dated, **names)


def _known(names: tuple[str, ...], facts: Facts) -> None:
    lost = next((name for name in names if name not in facts.kinds), None)
    if lost is not None:
        raise ConfigError(f"data.wide.keep names '{lost}', which '{facts.path}' does not have: {listed(facts.names)}.")


def _names(config: DataConfig, usual: str) -> dict[str, str]:
    return {"name": config.wide.name or usual, "value": config.wide.value}
