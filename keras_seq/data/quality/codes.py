"""Numbers that seem to stand for a missing value: -200, -999, 9999, -1 where everything else is positive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.quality.report import Finding
from keras_seq.data.quality.rows import number

REPEATS = 3  # rows a code has at least
DISTINCT = 10  # different other values of a column, else its numbers are settings or classes
NEAR = 0.05  # a code lies at least this part of the others' range away from them
ATOM = 2.0  # ... and is so many times as frequent as its neighbours
ZERO_SHARE = 0.3  # zeros beyond this share are a state, not a gap
LIMITS = (32767.0, 32768.0, 65535.0, 2147483647.0, 2147483648.0, 4294967295.0)  # of integer types


SHARED = 3  # columns from which a code of all of them is believed


def check_codes(columns: Mapping[str, NDArray[Any]]) -> list[Finding]:
    """Suspected codes of all columns together; one finding a code, with the option that takes all of them out.

    Args:
        columns: values by name, ``(rows,)`` each, NaN where missing.
    """
    codes = _counts_by_code(columns)
    option = f"data.missing_codes: [{', '.join(number(code) for code in sorted(codes))}]"
    return [_finding(code, counts, option) for code, counts in codes.items()]


def shared_codes(columns: Mapping[str, NDArray[Any]]) -> tuple[float, ...]:
    """Codes but 0 that at least ``SHARED`` columns have in common: an accident is not to be thought of."""
    codes = _counts_by_code(columns)
    return tuple(sorted(code for code, counts in codes.items() if code and len(counts) >= SHARED))


def _counts_by_code(columns: Mapping[str, NDArray[Any]]) -> dict[float, dict[str, int]]:
    """How often each suspected code occurs by column.

    A code that stands far apart in one column is believed in others that it ends, too.
    """
    known = {name: finite for name, values in columns.items() if len(finite := values[np.isfinite(values)])}
    codes: dict[float, dict[str, int]] = {}
    for name, values in known.items():
        for code in suspected_codes(values):
            codes.setdefault(code, {})[name] = int((values == code).sum())
    for code, counts in codes.items():
        for name, values in known.items():
            if name not in counts and _ends(values, code):
                counts[name] = int((values == code).sum())
    return codes


def suspected_codes(values: NDArray[Any]) -> list[float]:
    """Numbers at the ends of a column that repeat, look like codes and stand apart from all others.

    Args:
        values: finite values of one column.
    """
    codes: list[float] = []
    while len(values):
        low, high = values.min(), values.max()
        if low == high:
            break
        ends = [end for end in (low, high) if np.count_nonzero(values == end) >= REPEATS]
        inner = values[~np.isin(values, ends)]
        code = next((float(end) for end in ends if len(inner) and _is_code(float(end), values, inner)), None)
        if code is None:
            break
        codes.append(code)
        values = values[values != code]
    return codes


def _is_code(code: float, values: NDArray[Any], others: NDArray[Any]) -> bool:
    low, high = float(others.min()), float(others.max())
    width, gap = high - low, low - code if code < low else code - high
    if code == 0.0:  # a sensor at zero is a state, unless nothing else comes near it
        rare = np.count_nonzero(values == code) <= ZERO_SHARE * len(values)
        return bool(rare and low > 0 and gap > 2 * width and _distinct(others) >= DISTINCT)
    nines = _looks_like_a_code(code)
    if nines and gap > max(width, abs(low), abs(high)) and width > 0:
        return True
    whole = code == np.floor(code)
    if code < 0 and whole and gap > width and _distinct(others) >= DISTINCT:
        return True
    if not ((code < 0 <= low and whole) or (nines and abs(code) >= 99)) or _distinct(others) < DISTINCT:
        return False
    return bool((gap > NEAR * width or code == -1.0) and _is_atom(code, values, others))


def _ends(values: NDArray[Any], code: float) -> bool:
    """Whether a code of another column is an end of this one, more frequent than its neighbours."""
    count = np.count_nonzero(values == code)
    others = values[values != code] if count >= REPEATS else values[:0]
    if not len(others) or others.min() < code < others.max():
        return False
    gap = max(float(others.min()) - code, code - float(others.max()))
    return gap > NEAR * float(np.ptp(others)) and _is_atom(code, values, others)


def _is_atom(code: float, values: NDArray[Any], others: NDArray[Any]) -> bool:
    """Whether a number is far more frequent than the five values next to it (0 is a state and not counted)."""
    texts, counts = np.unique(others[others != 0], return_counts=True)
    beside = counts[:5] if code < others.min() else counts[-5:]
    return bool(len(texts) and np.count_nonzero(values == code) >= ATOM * float(beside.max()))


def _distinct(values: NDArray[Any]) -> int:
    first = np.unique(values[:1000])
    return len(first) if len(first) >= DISTINCT or len(values) <= 1000 else len(np.unique(values))


def _looks_like_a_code(code: float) -> bool:
    """-1, 99, -999, 9999.9, 888, limits of integers, 1e20 and the like."""
    size = abs(code)
    digits = number(size).replace(".", "")
    if size in LIMITS or code == -1.0:
        return True
    if size >= 1e9:
        return abs(np.log10(size) - round(np.log10(size))) < 1e-6 or set(digits[:4]) == {"9"}
    return (set(digits) == {"9"} and (len(digits) >= 3 or size == 99)) or (len(set(digits)) == 1 and len(digits) >= 3)


def _finding(code: float, counts: Mapping[str, int], option: str) -> Finding:
    first = max(counts, key=lambda name: counts[name])
    rest = [name for name in counts if name != first]
    also = f", also in {', '.join(rest[:4])}" + (f" and {len(rest) - 4} more" if len(rest) > 4 else "") if rest else ""
    message = (
        f"{number(code)} occurs {counts[first]} times{also}, apart from all other values: if it stands for a missing "
        f"value, take it out with {option}"
    )
    return Finding("warning", "missing code", message, column=first, count=len(counts))
