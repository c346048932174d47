"""Cases of ``.ts`` files (sktime, aeon): header fields, then one case a line, ``v,v,...:v,v,...:label``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.lines import numbered_lines
from keras_seq.errors import DataError

_COLON = re.compile(r":(?![^()]*\))")  # none of those in ``(2024-05-01 12:00:00,3.5)``
_PAIR = re.compile(r"\(([^()]*),([^(),]*)\)")
MISSING = ("?", "")


@dataclass(frozen=True)
class TsHeader:
    """Header of a ``.ts`` file.

    Attributes:
        name: ``@problemName``.
        classes: texts after ``@classLabel true`` in their order; None: cases have no class.
        values: whether cases end with a number to predict (``@targetLabel true``).
        stamped: whether values are pairs of time and value.
    """

    name: str
    classes: tuple[str, ...] | None
    values: bool
    stamped: bool


@dataclass(frozen=True)
class TsCase:
    """One case: values ``(time, dimensions)``, NaN where missing, its label, and its stamps where it has any."""

    values: NDArray[np.float64]
    label: str | float | None
    stamps: tuple[str, ...] | None = None


def open_ts(path: Path) -> tuple[TsHeader, Iterator[TsCase]]:
    """Header of a ``.ts`` file, and its cases one by one.

    Raises:
        DataError: the file is missing, empty or malformed; names the line (of cases: when it is reached).
    """
    lines = ((number, text) for number, text in numbered_lines(path) if not text.startswith(("#", "%")))
    fields: dict[str, str] = {}
    for number, text in lines:
        key, _, value = text[1:].partition(" ")
        if not text.startswith("@"):
            where = f"Line {number} of '{path}'"
            raise DataError(f"{where} must be an '@key value' line or '@data', got {text[:40]!r}: not a .ts file?")
        if key.lower() == "data":
            header = _header(fields, path)
            return header, _cases(lines, header, path)
        fields[key.lower()] = value.strip()
    raise DataError(f"File '{path}' holds no cases and no @data line; expected .ts format.")


def _header(fields: dict[str, str], path: Path) -> TsHeader:
    flag, *classes = fields.get("classlabel", "false").split() or ["false"]
    values = fields.get("targetlabel", "false").lower().startswith("true")
    labelled = flag.lower() == "true" and not values
    stamped = fields.get("timestamps", "false").lower() == "true"
    return TsHeader(fields.get("problemname") or path.stem, tuple(classes) if labelled else None, values, stamped)


def _cases(lines: Iterator[tuple[int, str]], header: TsHeader, path: Path) -> Iterator[TsCase]:
    dimensions = 0
    for number, text in lines:
        where = f"Line {number} of '{path}'"
        case = _case(text, header, where)
        if dimensions and case.values.shape[1] != dimensions:
            raise DataError(
                f"{where} has {case.values.shape[1]} dimensions, the cases before have {dimensions}; a dimension is "
                "missing, or the line was cut."
            )
        dimensions = case.values.shape[1]
        yield case
    if not dimensions:
        raise DataError(f"File '{path}' holds no cases after @data.")


def _case(text: str, header: TsHeader, where: str) -> TsCase:
    dimensions = _COLON.split(text) if header.stamped else text.split(":")
    label: str | float | None = None
    if header.classes is not None or header.values:
        *dimensions, last = dimensions
        if not dimensions:
            raise DataError(f"{where} must hold dimensions and a class separated by ':', got {text[:40]!r}.")
        label = _label(last.strip(), header, where)
    if header.stamped:
        return _stamped([_pairs(one, where, i) for i, one in enumerate(dimensions, 1)], label)
    rows = [numbers_of(one.split(","), where, i) for i, one in enumerate(dimensions, 1)]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise DataError(f"{where} has dimensions of different length ({min(lengths)} and {max(lengths)} steps).")
    return TsCase(np.stack(rows, axis=1), label)


def _label(text: str, header: TsHeader, where: str) -> str | float | None:
    if text in MISSING:
        return None
    if header.values:
        return float(numbers_of([text], where, 0)[0])
    if header.classes and text not in header.classes:
        raise DataError(f"{where} ends with class {text[:40]!r}, the header names {', '.join(header.classes)}.")
    return text


def numbers_of(words: list[str], where: str, dimension: int = 0) -> NDArray[np.float64]:
    """Numbers of texts, NaN where missing; a word among them is refused by place (dimension 0: it has none)."""
    try:
        return np.array([np.nan if word.strip() in MISSING else float(word) for word in words], np.float64)
    except ValueError:
        place = f"dimension {dimension}, step" if dimension else "value"
        for step, word in enumerate(words, start=1):
            try:
                np.nan if word.strip() in MISSING else float(word)
            except ValueError:
                raise DataError(f"{where}, {place} {step}: expected a number, got {word.strip()[:40]!r}.") from None
        raise


def _pairs(text: str, where: str, dimension: int) -> dict[str, float]:
    """Values of one dimension by their stamps."""
    pairs = _PAIR.findall(text)
    if _PAIR.sub("", text).strip(", ?"):
        raise DataError(f"{where}, dimension {dimension}: expected pairs '(time,value)', got {text.strip()[:40]!r}.")
    values = numbers_of([value for _, value in pairs], where, dimension)
    stamps = [stamp.strip() for stamp, _ in pairs]
    if len(set(stamps)) < len(stamps):
        twice = next(stamp for stamp in stamps if stamps.count(stamp) > 1)
        raise DataError(f"{where}, dimension {dimension}: the time {twice!r} stands twice; a time has one value.")
    return dict(zip(stamps, values.tolist(), strict=True))


def _stamped(dimensions: list[dict[str, float]], label: str | float | None) -> TsCase:
    """A case of dimensions with stamps of their own: a row a stamp of any, NaN where a dimension has none."""
    stamps = list(dict.fromkeys(stamp for one in dimensions for stamp in one))
    if any(list(one) != stamps for one in dimensions):
        stamps.sort(key=lambda stamp: (0, float(stamp), "") if _is_number(stamp) else (1, 0.0, stamp))
    values = [[one.get(stamp, np.nan) for one in dimensions] for stamp in stamps]
    return TsCase(np.array(values, np.float64).reshape(len(stamps), len(dimensions)), label, tuple(stamps))


def _is_number(text: str) -> bool:
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False
