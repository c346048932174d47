"""Records of a JSON file, one after another in flat memory: lines, an array of records, or a table in one object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keras_seq.errors import DataError

NEW_LINE = "\n"
INDEX = "index"  # name of the column that a frame's index becomes
EARLIEST, LATEST = 10**11, 5 * 10**12  # milliseconds since 1970 that an index of stamps holds: 1973 to 2128
CHUNK = 2**20  # characters read at once
LONGEST = 2**28  # characters of one record
_BETWEEN = re.compile(r"[\s,\x1e\ufeff]*")
Json = Mapping[str, Any]


def json_records(path: Path) -> Iterator[Json]:
    """Objects of a file; rows that are lists get the names of the first one, or ``0``, ``1``, ...

    Raises:
        DataError: it is not JSON, or holds something else than records; tells which one.
    """
    names: list[str] | None = None
    for number, record in enumerate(_values(path), start=1):
        if isinstance(record, list):
            if number == 1 and all(isinstance(name, str) for name in record):
                names = record
                continue
            yield dict(zip(names or map(str, range(len(record))), record, strict=False))
        elif isinstance(record, dict):
            yield record
        else:
            raise DataError(f"Record {number} of '{path}' is {json.dumps(record)[:40]}; objects of names are wanted.")


def _values(path: Path) -> Iterator[Any]:
    """Values of a file: those of its array, of its lines, or of the table that its only object holds."""
    values = _parsed(path)
    first, second = next(values, None), next(values, None)
    if second is None and isinstance(first, dict):
        yield from _inside(first) or [first]
        return
    if first is not None:
        yield first
    if second is not None:
        yield second
    yield from values


def _inside(tree: Json) -> list[Any] | None:
    """Rows that an object holds as a list, as columns, or as pandas writes them; None: it is a record itself."""
    values = list(tree.values())
    if isinstance(tree.get("columns"), list) and isinstance(tree.get("data"), list):
        index = _index(tree.get("index"), len(tree["data"]))
        table = [tree["columns"], *tree["data"]]
        return [[name, *row] for name, row in zip([INDEX, *index], table, strict=True)] if index else table
    if "target" in tree or not values:
        return None
    if all(isinstance(value, list) and len(value) == len(values[0]) for value in values) and not any(
        isinstance(item, dict | list) for value in values for item in value[:1]
    ):
        return [dict(zip(tree, row, strict=True)) for row in zip(*values, strict=True)]
    if len(values) > 1 and all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values):
        records = values
        keys = list(tree)
        if len(values) <= len(values[0]):
            keys = list(values[0])
            records = [{name: value[key] for name, value in tree.items()} for key in keys]
        index = _index(keys, len(records))
        return [{INDEX: key, **row} for key, row in zip(index, records, strict=True)] if index else records
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], dict | list)]
    if lists:
        return max(lists, key=len)
    return next((rows for value in values if isinstance(value, dict) and (rows := _inside(value))), None)


def _index(keys: object, rows: int) -> list[Any]:
    """The index of a frame as pandas writes it, stamps as texts; empty where it only counts the rows."""
    if not isinstance(keys, list) or len(keys) != rows or not rows:
        return []
    whole = all(re.fullmatch(r"-?\d+", str(key)) for key in keys)
    numbers = [int(key) for key in keys] if whole else []
    if numbers == list(range(rows)):
        return []
    if numbers and all(EARLIEST < number < LATEST for number in numbers):
        start = datetime(1970, 1, 1)
        return [(start + timedelta(milliseconds=number)).isoformat(" ") for number in numbers]
    return numbers or keys


def _parsed(path: Path) -> Iterator[Any]:
    decode = json.JSONDecoder().raw_decode
    with open(path, encoding="utf-8-sig") as file:
        text, line, number, grown = file.read(CHUNK), 1, 0, CHUNK
        in_array, at = False, 0
        while True:
            blank = _BETWEEN.match(text, at)
            assert blank is not None  # it matches nothing, too
            at = blank.end()
            if at == len(text):
                line, text, at = line + text.count("\n"), file.read(CHUNK), 0
                if not text:
                    return
                continue
            if number == 0 and not in_array and text[at] == "[":
                in_array, at = True, at + 1
                continue
            if in_array and text[at] == "]":
                return
            try:
                value, end = decode(text, at)
                fault = ""
            except (ValueError, RecursionError) as error:
                fault, end = str(error).split(":")[0], len(text)
            if fault or (end == len(text) and isinstance(value, int | float)):  # a number may go on
                more = file.read(grown) if len(text) - at < LONGEST else ""
                line, text, at, grown = line + text.count("\n", 0, at), text[at:] + more, 0, grown * 2
                if more:
                    continue
                end = len(text)
            if fault:
                raise DataError(
                    f"File '{path}' is not JSON from line {line + text.count(NEW_LINE, 0, at)} on, in record "
                    f"{number + 1}: {fault}. Mend this "
                    "record, or leave it out."
                )
            number, grown, at = number + 1, CHUNK, end
            yield value
