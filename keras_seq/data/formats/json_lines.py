"""JSON: a record a line, an array of records, columns in one object, or a whole series a record."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq.data.formats.cells import arrow_type, column_kind, kinds_of, record_batch
from keras_seq.data.formats.json_series import IDS, STEP, TARGET, TIME, UNIT, flat_records, holds_series
from keras_seq.data.formats.registry import TableFormat, first_bytes, register
from keras_seq.data.formats.roles import Roles, with_roles
from keras_seq.data.reading.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 8192
SUFFIXES = (".json", ".jsonl", ".ndjson")


def _is_json(path: Path) -> bool:
    head = b"".join(first_bytes(path).removeprefix(b"\xef\xbb\xbf").split())
    return head.startswith((b"{", b"[") if path.suffix.lower() in SUFFIXES else (b'{"', b'[{"'))


@register(TableFormat("json", "a JSON file", SUFFIXES, holds=_is_json))
def read_json(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Rows of the records, whose names are those of all of them; read twice, for kinds and for values."""
    import pyarrow as pa

    kinds: dict[str, set[str]] = {}
    records = flat_records(path)
    while part := list(itertools.islice(records, BATCH)):
        for name in dict.fromkeys(name for record in part for name in record):
            kinds.setdefault(name, set()).update(kinds_of([record.get(name) for record in part]))
    settled = {name: column_kind(own) for name, own in kinds.items()}
    schema = pa.schema([(name, arrow_type(kind)) for name, kind in settled.items()])
    if holds_series(path):
        schema = with_roles(schema, _roles(list(settled)))
    rows = ([row.get(name) for name in settled] for row in flat_records(path))
    while block := list(itertools.islice(rows, BATCH)):
        yield record_batch(block, list(settled.values()), schema)


def _roles(names: list[str]) -> Roles:
    """Parts of the columns of records that are series: their unit, their time, and what is to be forecast."""
    unit = next(name for name in (*IDS, UNIT) if name in names)
    time = next((name for name in (TIME, STEP) if name in names), None)
    targets = tuple(name for name in names if name == TARGET or name.startswith(f"{TARGET}."))
    remarks: tuple[str, ...] = ("holds a series a record, read as rows of one unit each",)
    if time == STEP:
        remarks += ("does not tell how far its steps are apart; they are counted",)
    return Roles(unit=unit, time=time, targets=targets, task="forecast" if targets else None, remarks=remarks)
