"""Records that hold a whole series each, as GluonTS and DeepAR have them, as rows: one a step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq.data.formats.json_records import Json, json_records

UNIT, STEP, TIME, START, TARGET = "series", "step", "time", "start", "target"
IDS = ("item_id", "series_id", "unique_id", "id")
_NESTING = {dict, list}
WIDEST = 64  # values of a list that is a row's own columns
LOOKED_AT = 20  # records that tell whether they are rows or series


def flat_records(path: Path) -> Iterator[Json]:
    """Rows by name: objects inside objects get names with dots, lists become columns or rows.

    A record is a series where it has a list called ``target``, or lists that differ in length from those of others or
    are long; it is then read as rows of one unit, its single values on every one.
    """
    as_series, frequency = holds_series(path), _frequency(path)
    for number, record in enumerate(json_records(path), start=1):
        if as_series:
            yield from _steps(record, number, frequency)
        else:
            yield dict(_flat(record, "")) if not _NESTING.isdisjoint(map(type, record.values())) else record


def holds_series(path: Path) -> bool:
    """Whether the records of a file are whole series."""
    lengths: dict[str, set[int]] = {}
    for record in islice(json_records(path), LOOKED_AT):
        for name, value in record.items():
            if isinstance(value, list):
                lengths.setdefault(name, set()).add(len(value))
    return TARGET in lengths or any(len(own) > 1 or max(own) > WIDEST for own in lengths.values())


def _flat(record: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, list):
            yield from _flat({str(i): item for i, item in enumerate(value)}, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _steps(record: Json, number: int, frequency: str | None) -> Iterator[Json]:
    """Rows of one series: its unit, the time of each step, its lists by step, and what holds for all of it."""
    lists = [value for value in record.values() if isinstance(value, list)]
    main = record[TARGET] if isinstance(record.get(TARGET), list) else max(lists, key=len, default=[])
    count = len(main[0]) if main and isinstance(main[0], list) else len(main)
    row: dict[str, Any] = {} if any(name in record for name in IDS) else {UNIT: str(number)}
    columns: dict[str, Any] = {}
    frequency = record.get("freq") or frequency
    if START in record:
        columns |= _times(record[START], frequency, count)
    elif not any(isinstance(record.get(name), list) for name in ("time", "timestamp", "timestamps", "times", "ds")):
        columns[STEP] = range(count)
    for name, value in record.items():
        if name in (START, "freq"):
            continue
        if isinstance(value, list) and value and all(isinstance(own, list) and len(own) >= count for own in value):
            # one list a channel; what is known beyond the end of the series is left out
            columns |= {f"{name}.{i}" if len(value) > 1 else name: own for i, own in enumerate(value)}
        elif isinstance(value, list) and len(value) >= count:
            columns[name] = value
        else:
            row |= dict(_flat({name: value}, ""))
    for i in range(count):
        yield dict(_flat(row | {name: values[i] for name, values in columns.items()}, ""))


def _times(start: str, frequency: str | None, count: int) -> dict[str, Any]:
    """Stamps of the steps, or their numbers where nothing tells how far they are apart."""
    import pandas as pd

    if frequency is None:
        return {STEP: range(count)}
    alias = {"H": "h", "T": "min", "S": "s", "M": "ME", "Q": "QE", "Y": "YE", "A": "YE"}.get(frequency, frequency)
    stamps = pd.date_range(pd.Timestamp(start), periods=count, freq=alias)
    return {TIME: np.asarray(stamps.astype(str))}


def _frequency(path: Path) -> str | None:
    """Steps of a GluonTS data set, from the ``metadata.json`` near its file; None where there is none."""
    for folder in (path.parent, path.parent.parent, path.parent.parent / "metadata"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            return str(json.loads((folder / "metadata.json").read_text(encoding="utf-8"))["freq"])
    return None
