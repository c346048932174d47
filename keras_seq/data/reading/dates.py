"""Date parsing: the one format of a column, its time zone, and the stamps its texts mean."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.reading.date_texts import ANY, DAY_PARTS, further_formats, plain_dates, with_comma
from keras_seq.data.reading.named_dates import ALIASES, MONTHS, is_epoch, is_named, parse_named, period_formats
from keras_seq.data.reading.zones import OFFSET, to_universal, zone_info, zone_of_offsets
from keras_seq.errors import DataError, shorten

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ISO = "ISO8601"
COMPACT_FORMATS = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by digits
SHORT = "%y%m%d"
_WITH_OFFSET = OFFSET.replace("([Zz]", "(?:[Zz]")
_SHORT_DAYS = ("%m/%d/%y", "%d.%m.%y", "%m-%d-%y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d-%b-%y", "%d %b %y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H.%M", " %H.%M.%S", " %I:%M %p", " %I:%M:%S %p")
_MIDNIGHT = r"[T ]24[:.]00(?:[:.]00)?$"  # an hour that ends its day
MOST_SPOILT = 0.05  # share of texts that are no dates in a column of dates
MOSTLY_EVEN = 0.9  # share of near steps from which dates of different separators are believed
NEAR = (0.75, 1.35)  # of the usual step: months and quarters are even, weeks and month starts are not


@dataclass(frozen=True)
class DateRule:
    """Format and time zone of a column of dates.

    Attributes:
        format: as ``strptime`` has it, or ``ISO8601``.
        zone: see ``Reading.zone``.
        offsets: stamps carry their offset from universal time.
        written: the format in which stamps of the table are written, for new ones; None: not known.
        remarks: what two readings fit, and which was taken.
        undecided: both readings are as likely.
    """

    format: str
    zone: str | None
    offsets: bool = False
    written: str | None = None
    remarks: tuple[str, ...] = field(default=())
    undecided: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """What a ``Reading`` keeps of it."""
        return {"date_format": self.format, "zone": self.zone, "offsets": self.offsets, "stamp_format": self.written}


def settle_dates(texts: pd.Series, name: str, path: Path, *, date_format: str | None, zone: str | None) -> DateRule:
    """The format and zone of a column of dates.

    Where day first and month first fit every row, the one whose steps are more even is taken, and said.

    Args:
        texts: pandas series of the filled texts, in file order; all rows, as the last one may decide.
        name: the column.
        path: its file.
        date_format: as the user says it; None: told from the texts.
        zone: likewise.

    Raises:
        DataError: no one format fits all rows.
    """
    own, texts = texts, plain_dates(texts, date_format or "")
    candidates = _asked(date_format, texts) if date_format else _candidates(texts)
    fitting: dict[str, Any] = {}
    bad = texts.iloc[0] if len(texts) else ""
    for candidate in candidates:
        stamps = _parse(texts, candidate)
        if stamps.notna().all() and len(stamps):
            fitting[candidate] = stamps
        elif len(stamps):
            bad = own[stamps.isna()].iloc[0]
    if not fitting and not date_format:
        fitting = _any_separator(texts)
    if not fitting:
        raise DataError(_no_format(name, path, bad, date_format))
    chosen, remark, undecided = _most_even(fitting, name)
    if not remark and chosen.startswith(ANY):
        remark = f"column '{name}': its dates have different separators, and are read as {chosen.removeprefix(ANY)}"
    offsets = texts.str.extract(OFFSET, expand=False)
    if zone is not None:
        zone_info(zone)
    clock = zone or _zone(fitting[chosen], offsets, name, path)
    remarks = [remark] if remark else []
    if zone is None and clock and offsets.nunique() > 1:
        remarks.append(
            f"column '{name}': its offsets are those of {clock}, whose clock tells hours, days and holidays; data.zone "
            "says another"
        )
    carried = bool(offsets.notna().any())
    written = with_comma(_written(texts, chosen), own) if len(texts) and not carried else None
    return DateRule(chosen, clock, carried, written, tuple(remarks), undecided)


def parse_dates(column: pa.Array, rule: DateRule, name: str, path: Path, first_row: int = 0) -> NDArray[np.datetime64]:
    """Stamps ``(rows,)`` as ``datetime64[ns]``, NaT where missing: universal time where there is a zone.

    Args:
        column: Arrow array of texts, or of timestamps.
        rule: format and zone.
        name: the column.
        path: its file.
        first_row: data rows of the file before these.

    Raises:
        DataError: a text is no date of the format, has or lacks an offset against the rule, or lies beyond what
            nanoseconds count (1677 to 2262); names the row.
    """
    import pandas as pd

    texts = column.to_pandas()
    filled = texts.notna()
    if pd.api.types.is_datetime64_any_dtype(texts.dtype):
        stamps = texts if texts.dt.tz is not None else texts.dt.tz_localize("UTC")
        offsets = filled & (texts.dt.tz is not None)
    else:
        plain = plain_dates(texts, rule.format)
        stamps = _parse(plain, rule.format)
        offsets = plain.str.contains(_WITH_OFFSET, na=False)
    wrong = (stamps.isna() & filled).to_numpy()
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(_not_like(name, path, texts.iloc[at], first_row + at + 1, rule.format))
    _check_offsets(texts, offsets, filled, rule, name, path, first_row)
    if rule.zone and not offsets.any() and not is_epoch(rule.format):
        try:
            stamps = to_universal(stamps.dt.tz_localize(None), rule.zone)
        except ValueError as error:
            raise DataError(
                f"Column '{name}' of '{path}' holds a stamp that the clock of {rule.zone} never showed, or showed "
                f"twice without an order that tells which ({str(error).splitlines()[0][:120]}). Write stamps with "
                "their offset, or in UTC with data.zone UTC."
            ) from None
    try:
        return stamps.dt.tz_convert("UTC").dt.tz_localize(None).dt.as_unit("ns").to_numpy("datetime64[ns]")
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        naive = stamps.dt.tz_localize(None)
        year = naive.dt.year
        at = int(np.argmax(((year < 1678) | (year > 2261)).to_numpy()))
        raise DataError(
            f"Column '{name}' of '{path}' holds {texts.iloc[at]!r} in data row {first_row + at + 1}; stamps are "
            "counted in nanoseconds and reach from 1678 to 2261. Mend the row; leave one that stands for 'never' empty."
        ) from None


def spoilt_date(texts: pd.Series, name: str, path: Path) -> tuple[int, str] | None:
    """Place, from 0, and text of the first of a few that are no dates in a column where nearly all are; else None."""
    half = len(texts) // 2
    for part in (texts.iloc[:half], texts.iloc[half:]):
        try:
            rule = settle_dates(part, name, path, date_format=None, zone=None)
        except DataError:
            continue
        unread = _parse(plain_dates(texts), rule.format).isna().to_numpy()
        if unread.any() and unread.mean() <= MOST_SPOILT:
            at = int(unread.argmax())
            return at, str(texts.iloc[at])
    return None


def compact_format(texts: pa.Array) -> str | None:
    """The format of filled texts that are dates in digits alone, 20240131 or 2024013114; None where they are not.

    Months (202401) only where they follow one another: six digits may be anything.
    """
    import pandas as pd
    import pyarrow.compute as pc

    lengths = pc.unique(pc.utf8_length(texts)).to_pylist() if len(texts) else []
    written = COMPACT_FORMATS.get(lengths[0]) if len(lengths) == 1 else None
    whole_year = pc.all(pc.match_substring_regex(texts, r"^(?:19|20)\d+$")).as_py() if written else False
    if written is None or not (whole_year or lengths == [6]):
        return None
    if lengths == [6] and not (whole_year and _even_months(texts)):
        written = SHORT
    stamps = pd.DatetimeIndex(pd.to_datetime(texts.unique().to_pandas(), format=written, errors="coerce"))
    if not stamps.notna().all() or len(stamps) < 3:
        return None
    even = written not in ("%Y%m", SHORT) or _evenness(pd.Series(stamps.sort_values()))[0] > MOSTLY_EVEN
    if not even or (written == SHORT and stamps.month.nunique() < 2):
        return None
    return None if written == "%Y%m%d%H" and _counts_seconds(texts, stamps) else written


def _even_months(texts: pa.Array) -> bool:
    """Whether six digits are years and months that follow one another."""
    import pandas as pd

    stamps = pd.to_datetime(texts.unique().to_pandas(), format="%Y%m", errors="coerce")
    return bool(stamps.notna().all()) and _evenness(pd.Series(stamps.sort_values()))[0] > MOSTLY_EVEN


def _counts_seconds(texts: pa.Array, stamps: pd.DatetimeIndex) -> bool:
    """Whether ten digits that can be dates and hours are rather seconds since 1970: their steps are more even so."""
    import pandas as pd

    seconds = pd.Series(pd.to_datetime(pd.to_numeric(texts.unique().to_pandas()).sort_values(), unit="s"))
    of_seconds, of_dates = _evenness(seconds)[0], _evenness(pd.Series(stamps.sort_values()))[0]
    return of_seconds > of_dates or (of_seconds == of_dates and int(stamps.year.max()) < 1970)


def _asked(date_format: str, texts: pd.Series) -> list[str]:
    """The format that the user says; of quarters and weeks as they are written."""
    if date_format in ("quarter", "week"):
        return period_formats(texts.iloc[:20].tolist()) or [date_format]
    return [ALIASES.get(date_format, date_format)]


def _candidates(texts: pd.Series) -> list[str]:
    """Formats that the first texts look like, ISO first."""
    from pandas.tseries.api import guess_datetime_format

    if periods := period_formats(texts.iloc[:20].tolist()):
        return periods
    formats = further_formats(texts.iloc[:1].tolist()) + _years_first(texts)
    for text in dict.fromkeys(texts.iloc[:20]):
        for day_first in (False, True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                date_format = guess_datetime_format(text, dayfirst=day_first)
            if date_format:
                formats += [ISO, date_format] if date_format.startswith("%Y-%m-%d") else [date_format]
    if not formats:
        formats = [*(day + clock for day in _SHORT_DAYS for clock in _CLOCKS), *MONTHS]
    swapped = [_swapped(date_format) for date_format in formats]
    candidates = dict.fromkeys([*formats, *(date_format for date_format in swapped if date_format)])
    return [date_format for date_format in candidates if ISO not in candidates or not date_format.startswith("%Y-%d")]


def _any_separator(texts: pd.Series) -> dict[str, Any]:
    """Formats, and the stamps by them, that fit all texts at even steps once dashes and points in days are slashes."""
    fitting = {}
    unified = _with_slashes(texts)
    for clock in _CLOCKS:
        for day in ("%m/%d/%Y", "%d/%m/%Y"):
            stamps = _parse(unified, day + clock)
            if len(stamps) and stamps.notna().all() and _evenness(stamps)[0] > MOSTLY_EVEN:
                fitting[f"{ANY}{day}{clock}"] = stamps
    return fitting


def _with_slashes(texts: pd.Series) -> pd.Series:
    """Days ``1-2-2024`` and ``1.2.2024`` as ``1/2/2024``; clocks stay as they are."""
    return texts.str.replace(DAY_PARTS, r"\1/\2/\3", regex=True)


def _years_first(texts: pd.Series) -> list[str]:
    """Formats of days that begin with a year of two digits: 24-01-31."""
    separators = texts.iloc[:1].str.extract(r"^\d\d([-./])\d\d[-./]\d\d(?:\D|$)", expand=False).dropna().tolist()
    return [f"%y{mark}%m{mark}%d{clock}" for mark in separators for clock in (*_CLOCKS, "T%H:%M:%S")]


def _swapped(date_format: str) -> str:
    """The format with day and month in each other's place; "" where they do not stand side by side."""
    for first, second in (("%d", "%m"), ("%m", "%d")):
        at = date_format.find(first)
        if at >= 0 and date_format[at + 3 : at + 5] == second and not date_format.startswith("%Y"):
            return date_format[:at] + second + date_format[at + 2] + first + date_format[at + 5 :]
    return ""


def _parse(texts: pd.Series, date_format: str) -> pd.Series:
    """Stamps in UTC as a pandas series, NaT where a text has not the format."""
    import pandas as pd

    if is_named(date_format):
        return parse_named(texts, date_format)
    if date_format.startswith(ANY):
        return _parse(_with_slashes(texts), date_format.removeprefix(ANY))
    midnight = texts.str.contains(_MIDNIGHT, na=False)
    if not midnight.any():
        return pd.to_datetime(texts, format=date_format, errors="coerce", utc=True)
    texts = texts.where(~midnight, texts.str.replace(r"([T ])24(?=[:.]00)", r"\g<1>00", regex=True))
    stamps = pd.to_datetime(texts, format=date_format, errors="coerce", utc=True)
    return stamps + pd.to_timedelta(np.where(midnight, 1, 0), unit="D")


def _most_even(fitting: dict[str, pd.Series], name: str) -> tuple[str, str, bool]:
    """The format whose steps are most even, what to say of it, and whether the choice was a toss."""
    scores = {date_format: _evenness(stamps) for date_format, stamps in fitting.items()}
    chosen = max(fitting, key=lambda date_format: scores[date_format])
    others = [
        date_format
        for date_format in fitting
        if date_format != chosen and not fitting[date_format].equals(fitting[chosen])
    ]
    if not others:
        return chosen, "", False
    other = max(others, key=lambda date_format: scores[date_format])
    undecided = scores[other][0] == scores[chosen][0]
    why = "the steps of both are even" if undecided else "its steps are more even"
    remark = (
        f"column '{name}': its dates can be read as {chosen} and as {other}; {chosen} is taken ({why}), "
        f"data.date_format says another"
    )
    return chosen, remark, undecided


def _evenness(stamps: pd.Series) -> tuple[float, float]:
    """Share of the steps near the usual one, and of those equal to the commonest."""
    steps = stamps.diff().dt.total_seconds().to_numpy()[1:]
    if not len(steps):
        return 0.0, 0.0
    usual = np.median(np.abs(steps))
    forward = np.sign(np.median(steps)) or 1.0
    near = (steps * forward > NEAR[0] * usual) & (steps * forward < NEAR[1] * usual)
    _, counts = np.unique(steps, return_counts=True)
    return round(float(near.mean()), 3), round(float(counts.max() / len(steps)), 3)


def _written(texts: pd.Series, date_format: str) -> str | None:
    """The one format of all texts where they are ISO dates; None where they differ."""
    from pandas.tseries.api import guess_datetime_format

    if date_format != ISO:
        return date_format.removeprefix(ANY)
    iso_format = guess_datetime_format(texts.iloc[0])
    return iso_format if iso_format and _parse(texts.iloc[:1000], iso_format).notna().all() else None


def _zone(stamps: pd.Series, offsets: pd.Series, name: str, path: Path) -> str | None:
    """The zone that the offsets tell; None without any."""
    with_offset = offsets.notna()
    if not with_offset.any():
        return None
    if not with_offset.all():
        raise DataError(
            f"Column '{name}' of '{path}' has stamps with an offset from universal time and stamps without one (data "
            f"row {int(np.argmin(with_offset.to_numpy())) + 1} among the filled). Write all of them alike."
        )
    return zone_of_offsets(stamps, offsets)


def _check_offsets(
    texts: pd.Series, offsets: pd.Series, filled: pd.Series, rule: DateRule, name: str, path: Path, first_row: int
) -> None:
    """Stamps have offsets where the rule has a zone told by them, and the zone's own."""
    wrong = (filled & (offsets != rule.offsets)).to_numpy() if rule.offsets or rule.zone is None else None
    if wrong is None:  # a local clock, or stamps with offsets in a zone of the user's
        wrong = (filled & ~offsets).to_numpy() if offsets.any() else np.zeros(1, bool)
    if wrong.any():
        at = int(np.argmax(wrong))
        wanted = f"with an offset (zone {rule.zone})" if not offsets.iloc[at] else "without an offset"
        raise DataError(
            f"Column '{name}' of '{path}' holds {texts.iloc[at]!s} in data row {first_row + at + 1}, expected a stamp "
            f"{wanted} as the others of the table are. Write all stamps alike."
        )


def _no_format(name: str, path: Path, bad: object, date_format: str | None) -> str:
    if date_format:
        return (
            f"Column '{name}' of '{path}' must hold dates of the format {date_format} (data.date_format), got "
            f"{shorten(bad)}. Mend the value or the format."
        )
    return (
        f"Column '{name}' of '{path}' must hold a time: a number, or dates in one format such as 2024-05-31 "
        f"14:00:00; got {shorten(bad)}. data.date_format names another one (strptime's letters: %d.%m.%Y %H.%M)."
    )


def _not_like(name: str, path: Path, value: object, row: int, date_format: str) -> str:
    return (
        f"Column '{name}' of '{path}' must hold dates like its first ones (format {date_format}), got "
        f"{shorten(value)} in data row {row}. Write all of them in one format."
    )
