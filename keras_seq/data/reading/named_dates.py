"""Dates that ``strptime`` does not know: epochs, Excel's serial days, quarters and ISO weeks; read and written.

``data.date_format`` takes them as words (``epoch_s``, ``excel``, ``quarter``, ``week``, ``year``) or with the letter
``%q`` for a quarter. A period's stamp is its first day: the quarter's, the week's Monday.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

EPOCHS = {"epoch_s": 10**9, "epoch_ms": 10**6, "epoch_us": 10**3, "epoch_ns": 1}  # nanoseconds of a unit
EXCEL = "excel"  # days since 1899-12-30
ALIASES = {"year": "%Y", "year_month": "%Y-%m", "iso": "ISO8601"}
PLAUSIBLE = (631_152_000, 2_208_988_800)  # s: 1990 to 2040
EXCEL_DAYS = (32_874, 51_136)  # the same years
_TIME_NAME = re.compile(
    r"(?i)date|time|epoch|unix|stamp|^ts$|^t$|when|zeit|datum|fecha|hora|heure|tijd|czas|[日时時][期间間付刻時]|날짜|시간|일시|дата|время"
)
_NAT = np.iinfo(np.int64).min
_QUARTER = "<quarter>"  # no letter of strftime
_DAY = 86_400 * 10**9
_PERIODS = (
    (re.compile(r"(\d{4})([-/ .]?)([Qq])\d"), "%Y{1}{2}%q"),
    (re.compile(r"([Qq])\d([-/ .]?)\d{4}"), "{0}%q{1}%Y"),
    (re.compile(r"\d([Qq])([-/ .]?)\d{4}"), "%q{0}{1}%Y"),
    (re.compile(r"([Qq])\d([-/ .'])\d{2}"), "{0}%q{1}%y"),
    (re.compile(r"(\d{4})([-/ ]?)([Ww])\d{1,2}"), "%G{1}{2}%V"),
    (re.compile(r"(\d{4})([-/ ]?)([Ww])\d{1,2}-?[1-7]"), "%G{1}{2}%V-%u"),
    (re.compile(r"([Ww])\d{1,2}([-/ .])\d{4}"), "{0}%V{1}%G"),
    (re.compile(r"(\d{4})([-/ ]?)([Mm])\d{1,2}"), "%Y{1}{2}%m"),
)
MONTHS = ("%b %Y", "%B %Y", "%Y %b", "%Y %B", "%b-%Y", "%Y-%b", "%b-%y", "%b %y", "%Y%b", "%m/%Y", "%m.%Y", "%m-%Y")


def period_formats(texts: list[str]) -> list[str]:
    """The format of quarters (``2010Q1``), ISO weeks (``2020-W05``) or months (``2010M01``) that all texts have."""
    for pattern, wanted in _PERIODS:
        hits = [pattern.fullmatch(text.strip()) for text in texts]
        if hits and hits[0] and all(hits):
            return [wanted.format(*hits[0].groups())]
    return []


def is_epoch(date_format: str | None) -> bool:
    """Whether stamps of a format count from 1970 in universal time."""
    return date_format in EPOCHS


def is_named(date_format: str) -> bool:
    """Whether a format is one of this module's."""
    weeks = ("%G" in date_format or "%V" in date_format) and "%u" not in date_format
    return date_format in EPOCHS or date_format == EXCEL or "%q" in date_format or weeks


def parse_named(texts: pd.Series, date_format: str) -> pd.Series:
    """Stamps in UTC as a pandas series, NaT where a text has not the format.

    Args:
        texts: pandas series of texts, missing ones among them.
        date_format: one for which ``is_named`` holds.
    """
    import pandas as pd

    if date_format in EPOCHS and len(texts) and texts.str.fullmatch(r"\d{1,19}", na=False).all():
        whole = texts.astype("int64")
        if int(whole.max()) < (2**63 - 1) // EPOCHS[date_format]:
            return (whole * EPOCHS[date_format]).astype("datetime64[ns]").dt.tz_localize("UTC")
    if date_format in EPOCHS or date_format == EXCEL:
        ticks = [_ticks(text, date_format) if there else None for text, there in zip(texts, texts.notna(), strict=True)]
        stamps = np.array([_NAT if tick is None else tick for tick in ticks], np.int64).view("datetime64[ns]")
        return pd.Series(stamps, index=texts.index).dt.tz_localize("UTC")
    if "%q" in date_format:
        pattern = re.escape(date_format).replace("%q", "(?P<quarter>[1-4])")
        pattern = pattern.replace("%Y", r"(?P<year>\d{4})").replace("%y", r"(?P<short>\d{2})")
        found = texts.str.strip().str.extract(f"(?i)^{pattern}$")
        year = found["year"] if "year" in found else "20" + found["short"]
        month = (pd.to_numeric(found["quarter"]) * 3 - 2).map("{:02.0f}".format, na_action="ignore")
        return pd.to_datetime(year + "-" + month, format="%Y-%m", errors="coerce", utc=True)
    return pd.to_datetime(texts.str.strip() + " 1", format=f"{date_format} %u", errors="coerce", utc=True)


def write_named(stamps: pd.DatetimeIndex, date_format: str) -> Any:
    """Stamps as texts of a format ``(rows,)``, missing where there is none."""
    import pandas as pd

    if date_format in EPOCHS or date_format == EXCEL:
        ticks = stamps.as_unit("ns").asi8
        known = stamps.notna()
        words = [_written(int(tick), date_format) if there else None for tick, there in zip(ticks, known, strict=True)]
        return pd.Index(words, dtype=object)
    texts: Any = stamps.strftime(date_format.replace("%q", _QUARTER))
    if "%q" not in date_format:
        return texts
    pairs = zip(texts, stamps.quarter, strict=True)
    return pd.Index([t.replace(_QUARTER, f"{q:.0f}") if isinstance(t, str) else None for t, q in pairs], dtype=object)


def plausible_number_format(low: float, high: float, name: str) -> str | None:
    """The format that a column's whole range of numbers speaks for: seconds to nanoseconds since 1970, Excel's days."""
    if not _TIME_NAME.search(name):
        return None
    for word, unit in EPOCHS.items():
        factor = 10**9 // unit
        if PLAUSIBLE[0] * factor <= low <= high < PLAUSIBLE[1] * factor:
            return word
    return EXCEL if EXCEL_DAYS[0] <= low <= high < EXCEL_DAYS[1] else None


def _ticks(text: object, date_format: str) -> int | None:
    """Nanoseconds since 1970 of a number in text, exact for whole ones; None where it is none."""
    word = str(text).strip().replace(",", ".")
    try:
        if date_format == EXCEL:
            ticks = round(float(word) * 86_400_000) * 10**6 - 25_569 * _DAY  # serial days hold milliseconds
        else:
            whole, _, part = word.partition(".")
            unit = EPOCHS[date_format]
            plain = whole.lstrip("+-").isdigit() and (not part or part.isdigit())
            rest = round(float(f"0.{part}") * unit) if plain and part else 0
            ticks = (
                int(whole) * unit + (-rest if whole.startswith("-") else rest) if plain else round(float(word) * unit)
            )
    except (ValueError, OverflowError):
        return None
    return ticks if abs(ticks) < 2**63 - 1 and np.isfinite(ticks) else None


def _written(ticks: int, date_format: str) -> str:
    if date_format == EXCEL:
        return f"{(ticks + 25_569 * _DAY) / _DAY:.12g}"
    whole, rest = divmod(ticks, EPOCHS[date_format])
    return str(whole) if not rest else f"{ticks / EPOCHS[date_format]:.15g}"
