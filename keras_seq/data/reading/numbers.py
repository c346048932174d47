"""Number parsing: decimal and thousands marks of a column's texts, and the numbers they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.reading.reading import Decimal, Marks

if TYPE_CHECKING:
    import pyarrow as pa

PLAIN = Marks()
COMMAS = {Marks(decimal=","), Marks(thousands=",")}  # both fit: 101,257
FEWEST_MIXED = 5  # numbers with a comma beside those without it
_THREE, _SMALL = r"^[+-]?[1-9]\d{0,2}(?:,\d{3})+$", r"^[+-]?\d{1,3}$"
_CLOCK, _MORNING = r"^(?:[01]\d|2[0-3])\.[0-5]\d$", r"^0\d\."  # in the morning no number is written so
_MONTH = r"^(?:19|20)\d\d\.(?:0[1-9]|1[0-2])$"
CANDIDATES = tuple(
    Marks(decimal=decimal, thousands=thousands)
    for decimal, thousands in (
        (".", ""),
        (",", ""),
        (".", ","),
        (",", "."),
        (".", " "),
        (",", " "),
        (".", "'"),
        (",", "'"),
    )
)
_WORDS = r"[+-]?(?:inf|infinity|nan)"
_BLANKS = "[\u00a0\u202f\u2009]"  # blanks that do not break, as spreadsheets write them between thousands


@dataclass(frozen=True)
class NumberColumn:
    """Share of a column's texts that are numbers, and the marks that fit them.

    Attributes:
        share: of the texts that are numbers under the best marks.
        fitting: the marks under which just as many are, one for each decimal mark, without thousands where they can do.
        mixed: numbers below 1000 stand without a comma beside numbers with just three digits behind it: a count's.
        clock: all are a clock's (``08.30``) or months (``2024.05``), whose point is no decimal mark.
    """

    share: float
    fitting: tuple[Marks, ...]
    mixed: bool = False
    clock: bool = False

    @property
    def whole(self) -> bool:
        """Whether there is not a mark in them."""
        return set(self.fitting) >= {PLAIN, Marks(decimal=",")}


def inspect_numbers(texts: pa.Array, candidates: tuple[Marks, ...] = CANDIDATES) -> NumberColumn:
    """Marks that fit an Arrow array of filled texts ``(rows,)``."""
    import pyarrow.compute as pc

    if not len(texts):
        return NumberColumn(0.0, ())
    texts = _trimmed(texts)
    absent = {mark for mark in ",. '" if not pc.any(pc.match_substring(texts, mark)).as_py()}
    candidates = tuple(marks for marks in candidates if marks.thousands not in absent)  # the bare ones fit as well
    shares = [float(pc.mean(pc.match_substring_regex(texts, _regex(marks))).as_py()) for marks in candidates]
    best = [marks for marks, share in zip(candidates, shares, strict=True) if share == max(shares)]
    bare = {marks.decimal for marks in best if not marks.thousands}
    fitting = tuple(marks for marks in best if not marks.thousands or marks.decimal not in bare)
    mixed = set(fitting) >= COMMAS and _holds(texts, _THREE, FEWEST_MIXED) and _holds(texts, _SMALL, 1)
    clock = fitting == (PLAIN,) and _holds(texts, _CLOCK, len(texts)) and _holds(texts, _MORNING, 1)
    clock = clock or (fitting == (PLAIN,) and _holds(texts, _MONTH, len(texts)))
    return NumberColumn(max(shares), fitting, mixed, clock)


def _holds(texts: pa.Array, pattern: str, fewest: int) -> bool:
    """Whether at least so many texts have a pattern."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.match_substring_regex(texts, pattern)).as_py()) >= fewest


def settle_marks(columns: dict[str, NumberColumn], delimiter: str) -> tuple[Marks, dict[str, Marks], list[str]]:
    """Marks of the file, of the columns that differ, and remarks where two readings fit.

    Columns that leave a choice are read as those that leave none. Where all leave one, a comma stands between thousands
    in columns that have small numbers without it and in files between commas; else it is the decimal mark.
    """
    certain = [numbers.fitting[0] for numbers in columns.values() if len(numbers.fitting) == 1 and not numbers.clock]
    decimal = _commonest_decimal(certain)
    open_commas = [numbers for numbers in columns.values() if set(numbers.fitting) >= COMMAS and not numbers.whole]
    commas = delimiter != "," and not _points(columns) and not any(numbers.mixed for numbers in open_commas)
    default = decimal or ("," if commas else ".")
    thousands = next((marks.thousands for marks in certain if marks.thousands and marks.decimal == default), "")
    file_marks = Marks(decimal=default, thousands=thousands)
    exceptions: dict[str, Marks] = {}
    remarks = []
    for name, numbers in columns.items():
        if numbers.whole or not numbers.fitting:
            continue
        wanted = _comma(certain) or default if set(numbers.fitting) >= COMMAS else default
        chosen = next((marks for marks in numbers.fitting if marks.decimal == wanted), numbers.fitting[0])
        if chosen.decimal != file_marks.decimal or chosen.thousands not in ("", file_marks.thousands):
            exceptions[name] = chosen
        others = [marks for marks in numbers.fitting if marks != chosen]
        if (others and delimiter != ",") or (others and chosen != PLAIN):
            remarks.append(
                f"column '{name}': {_words(chosen)} and {_words(others[0])} both fit its numbers; the first is taken, "
                "data.decimal and data.thousands say otherwise"
            )
    return file_marks, exceptions, remarks


def _comma(certain: Sequence[Marks]) -> Decimal | None:
    """The decimal mark of a column of commas by what commas are in most columns that leave no choice; None: nothing."""
    decimals = sum(marks.decimal == "," for marks in certain)
    thousands = sum(marks.thousands == "," for marks in certain)
    return None if decimals == thousands else "," if decimals > thousands else "."


def _points(columns: dict[str, NumberColumn]) -> bool:
    """Whether points alone could be decimal marks, and commas nowhere."""
    return all(PLAIN in numbers.fitting for numbers in columns.values() if numbers.fitting)


def to_numbers(texts: pa.Array, marks: Marks) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers ``(rows,)`` float64 of an Arrow text array, and which filled texts are none; NaN where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = _trimmed(texts)
    good = pc.match_substring_regex(texts, _regex(marks))
    plain = pc.if_else(good, texts, pa.scalar(None, pa.string()))
    if marks.thousands:
        plain = pc.replace_substring(plain, marks.thousands, "")
    if marks.decimal != ".":
        plain = pc.replace_substring(plain, marks.decimal, ".")
    numbers = np.asarray(plain.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    wrong = pc.fill_null(pc.invert(good), False).to_numpy(zero_copy_only=False)
    return numbers, np.asarray(wrong, bool)


def number_of(text: str, marks: Marks) -> float | None:
    """The number that one text means; None where it is none. As ``to_numbers``, for rows that come one by one."""
    text = re.sub(_BLANKS, " ", text.strip())
    if not re.match(_regex(marks), text):
        return None
    if marks.thousands:
        text = text.replace(marks.thousands, "")
    return float(text.replace(marks.decimal, "."))


def _trimmed(texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), _BLANKS, " ")


def _regex(marks: Marks) -> str:
    """RE2 pattern of a whole number text."""
    decimal = "\\" + marks.decimal
    grouped = ""
    if marks.thousands:  # never before an exponent
        mark = marks.thousands if marks.thousands in " '" else "\\" + marks.thousands
        grouped = rf"|[+-]?[1-9]\d{{0,2}}(?:{mark}\d{{3}})+(?:{decimal}\d*)?"
    return rf"^(?i:[+-]?(?:\d+(?:{decimal}\d*)?|{decimal}\d+)(?:e[+-]?\d+)?{grouped}|{_WORDS})$"


def _commonest_decimal(certain: Iterable[Marks]) -> Decimal | None:
    """The decimal mark of most columns that leave no choice; None where there is none."""
    commas = [marks.decimal == "," for marks in certain]
    return None if not commas else "," if 2 * sum(commas) > len(commas) else "."


def _words(marks: Marks) -> str:
    if marks.thousands:
        return f"'{marks.thousands}' between thousands"
    return f"'{marks.decimal}' as decimal mark"
