"""ARFF files of Weka: flat tables, and cases in a relational attribute."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_seq.data.formats.arff_text import Attribute, fields_of, open_arff
from keras_seq.data.formats.cases import Case, case_batches
from keras_seq.data.formats.registry import TableFormat, register
from keras_seq.data.formats.roles import Roles, with_roles
from keras_seq.data.formats.ts_cases import numbers_of
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 2**14  # of a batch
_LABELS = ("class", "label", "target")
_STEP = re.compile(r"^(.*?)(\d+)$")


@register(TableFormat("arff", "an ARFF file", (".arff",)))
def read_arff(path: Path, reading: Reading) -> Iterator[pa.RecordBatch]:
    """A row a line, or a row a step of every case where a relational attribute holds its series."""
    attributes, rows = open_arff(path)
    relational = [place for place, one in enumerate(attributes) if one.kind == "relational"]
    if relational:
        yield from _cases(attributes, relational[0], rows, path)
        return
    schema = _schema(attributes)
    while chunk := list(itertools.islice(rows, ROWS)):
        yield _batch(chunk, attributes, schema, path)


def _schema(attributes: list[Attribute]) -> pa.Schema:
    import pyarrow as pa

    named = [one for one in attributes if one.kind == "nominal" and one.name.lower() in _LABELS]
    label = (named or [attributes[-1]])[0]
    roles = Roles()
    if label.kind == "nominal" and len(label.words) > 1:
        task = "binary" if len(label.words) == 2 else "multiclass"
        roles = Roles(targets=(label.name,), task=task, classes=label.words)
    kinds = [(one.name, pa.float64() if one.kind == "numeric" else pa.string()) for one in attributes]
    return with_roles(pa.schema(kinds), roles)


def _batch(
    chunk: list[tuple[int, list[str]]], attributes: list[Attribute], schema: pa.Schema, path: Path
) -> pa.RecordBatch:
    import pyarrow as pa

    columns = []
    for attribute, words in zip(attributes, zip(*(fields for _, fields in chunk), strict=True), strict=True):
        if attribute.kind != "numeric":
            columns.append(pa.array([word or None for word in words], pa.string()))
            continue
        try:
            numbers = np.array([word or "nan" for word in words], np.float64)
        except ValueError:
            for (number, _), word in zip(chunk, words, strict=True):
                numbers_of([word], f"Line {number} of '{path}', attribute '{attribute.name}'")
            raise
        columns.append(pa.array(numbers, from_pandas=True))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cases(
    attributes: list[Attribute], place: int, rows: Iterator[tuple[int, list[str]]], path: Path
) -> Iterator[pa.RecordBatch]:
    """Cases; columns that are numbered (att0, att1 ...) are steps and the lines channels, else lines are steps."""
    inner = attributes[place].inner
    named = [_STEP.match(one.name) for one in inner]
    across = len(inner) > 1 and len({match[1] if match else None for match in named}) == 1 and named[0] is not None
    rest = [one for i, one in enumerate(attributes) if i != place]
    label = next((one for one in reversed(rest) if one.kind in ("nominal", "numeric")), None)
    at = attributes.index(label) if label else 0

    def cases() -> Iterator[Case]:
        for number, fields in rows:
            where = f"Line {number} of '{path}'"
            lines = [numbers_of(fields_of(line) or [""], where) for line in fields[place].split("\n") if line.strip()]
            if len({len(line) for line in lines} | {len(inner)}) > 1:
                raise DataError(
                    f"{where}: every line of attribute '{attributes[place].name}' needs {len(inner)} values."
                )
            values = np.stack(lines, axis=1) if across else np.stack(lines)
            word = fields[at] if label else ""
            told = float(numbers_of([word], where)[0]) if label and label.kind == "numeric" else word or None
            yield values[: _filled(values)], told, None

    known = cases()
    first = next(known)
    channels = [f"dim_{i}" for i in range(1, first[0].shape[1] + 1)] if across else [one.name for one in inner]
    classes = label.words if label and label.kind == "nominal" else None
    checked = _alike(itertools.chain([first], known), len(channels), path)
    yield from case_batches(checked, channels, classes=classes, labelled=label is not None)


def _filled(values: np.ndarray) -> int:
    """Steps up to the last that has a value: shorter cases are filled up with '?'."""
    known = np.flatnonzero(~np.isnan(values).all(axis=1))
    return int(known[-1]) + 1 if len(known) else len(values)


def _alike(cases: Iterator[Case], channels: int, path: Path) -> Iterator[Case]:
    for number, case in enumerate(cases, start=1):
        if case[0].shape[1] != channels:
            raise DataError(f"Case {number} of '{path}' has {case[0].shape[1]} channels, the first has {channels}.")
        yield case
