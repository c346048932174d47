"""Time zones of stamps: told from their offsets, and local clocks from universal time and back."""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError, nearest

if TYPE_CHECKING:
    import pandas as pd

OFFSET = r"[:T]\d{2}(?:[.,]\d+)?\s?([Zz]|UTC|[+-]\d{2}(?::?\d{2})?)$"  # after a time of day
_FIXED = re.compile(r"([+-])(\d{2}):?(\d{2})?")
_LIKELY = (
    "Europe/London",
    "Europe/Berlin",
    "Europe/Helsinki",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Australia/Sydney",
    "Australia/Adelaide",
    "Pacific/Auckland",
)


@lru_cache(maxsize=64)
def zone_info(zone: str) -> tzinfo:
    """The zone of a name such as ``Europe/Berlin``, ``UTC`` or ``+02:00``.

    Raises:
        ConfigError: it is not known.
    """
    if fixed := _FIXED.fullmatch(zone):
        sign, hours, minutes = fixed.groups()
        return timezone((-1 if sign == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes or 0)))
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"data.zone='{zone}' is no time zone{nearest(zone, available_timezones())}") from None


def to_local(time: NDArray[Any], zone: str | None) -> NDArray[Any]:
    """The local clock of stamps in universal time, both naive ``datetime64``; without a zone they are it already."""
    if zone in (None, "UTC") or time.dtype.kind != "M":
        return time
    import pandas as pd

    local = pd.DatetimeIndex(time).tz_localize("UTC").tz_convert(zone_info(str(zone))).tz_localize(None)
    return local.to_numpy(time.dtype)


def to_universal(local: pd.Series, zone: str) -> pd.Series:
    """Universal time of a pandas series of local clock stamps; an hour that comes twice goes on as its rows do.

    Raises:
        ValueError: a stamp that the clock never showed, or an hour that comes twice whose order does not tell it.
    """
    return local.dt.tz_localize(zone_info(zone), ambiguous="infer", nonexistent="raise").dt.tz_convert("UTC")


def zone_of_offsets(stamps: pd.Series, offsets: pd.Series) -> str:
    """Time zone whose UTC offsets are those of the stamps.

    Args:
        stamps: pandas series in UTC.
        offsets: their offsets as texts, ``Z`` or ``+02:00``.

    Returns:
        ``UTC``; the offset itself where all are equal; else the first of the world's zones that had these offsets at
        these times; ``UTC`` where none had.
    """
    minutes = offsets.map({text: _minutes(text) for text in offsets.unique()}).to_numpy(np.int64)
    if (minutes == minutes[0]).all():
        total = int(minutes[0])
        return "UTC" if not total else f"{'-' if total < 0 else '+'}{abs(total) // 60:02d}:{abs(total) % 60:02d}"
    changes = np.flatnonzero(np.diff(minutes))
    spread = np.linspace(0, len(minutes) - 1, 200).astype(np.int64)
    chosen = np.unique(np.concatenate([changes[:200], changes[:200] + 1, spread]))
    index, wanted = stamps.iloc[chosen].dt.tz_convert("UTC"), minutes[chosen]
    names = [*_LIKELY, *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))]
    return next((name for name in names if _has_offsets(index, wanted, name)), "UTC")


def _has_offsets(stamps: pd.Series, minutes: NDArray[np.int64], name: str) -> bool:
    local = stamps.dt.tz_convert(name).dt.tz_localize(None)
    gaps = (local - stamps.dt.tz_localize(None)).dt.total_seconds().to_numpy() / 60
    return bool((gaps == minutes).all())


def _minutes(text: str) -> int:
    fixed = _FIXED.fullmatch(text)
    return 0 if fixed is None else int(f"{fixed[1]}1") * (60 * int(fixed[2]) + int(fixed[3] or 0))
