"""Serialized ``tf.train.Example`` and ``tf.train.SequenceExample`` as arrays, without TensorFlow.

What ``keras_seq.export.examples`` does in the graph: keys are the columns, values raw units as floats, oldest first.
Errors are those of TensorFlow's parsers, without the graph's node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from serving.contract import protos
from serving.contract.protos import Message
from serving.contract.status import invalid

KINDS = {"bytes_list": "string", "float_list": "float", "int64_list": "int64"}
UNEQUAL = (
    "assertion failed: [all columns of an example must have the same number of steps] "
    "[Condition x == y did not hold element-wise:]"
)


def read_windows(serialized: np.ndarray, features: Sequence[str], time: int) -> np.ndarray:
    """Examples of ``time`` floats a column to values ``(batch, time, features)``.

    Raises:
        Refused: no example, a column that is missing, of another type or length.
    """
    values = np.empty((_batch(serialized), time, len(features)), np.float32)
    for row, content in enumerate(serialized):
        example = _example(content)
        for place, name in enumerate(features):
            column = _floats(example, name, row)
            if column is None:
                raise invalid(
                    f"Name: <unknown>, Feature: {name} (data type: float) is required but could not be found."
                )
            if len(column) != time:
                raise invalid(
                    f"Name: <unknown>, Key: {name}, Index: {row}.  Number of float values != expected.  "
                    f"Values size: {len(column)} but output shape: [{time}]"
                )
            values[row, :, place] = column
    return values


def read_examples(serialized: np.ndarray, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Examples to values ``(batch, time, features)``, zeros at padding, and lengths ``(batch,)``."""
    rows = []
    for row in range(_batch(serialized)):
        example = _example(serialized[row])
        columns = [_floats(example, name, row) for name in features]
        rows.append([np.zeros(0, np.float32) if column is None else column for column in columns])
    return _joined(rows, len(features))


def read_sequences(serialized: np.ndarray, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sequence examples to values ``(batch, time, features)``, zeros at padding, and lengths ``(batch,)``."""
    rows = []
    for row in range(_batch(serialized)):
        message = protos.example().SequenceExample()
        try:
            message.ParseFromString(serialized[row])
        except Exception:  # DecodeError, or TypeError of what is no bytes
            raise invalid("Invalid protocol message input, example id: <unknown>") from None
        lists = message.feature_lists.feature_list
        rows.append([_steps(lists, name, row) for name in features])
    return _joined(rows, len(features))


def _steps(lists: Mapping[str, Message], name: str, row: int) -> np.ndarray:
    """One column of a sequence example: one float a step."""
    if name not in lists:
        raise invalid(
            f"Name: <unknown>, Feature list '{name}' is required but could not be found.  Did you mean to include it "
            "in feature_list_dense_missing_assumed_empty or feature_list_dense_defaults?"
        )
    column = np.empty(len(lists[name].feature), np.float32)
    for step, feature in enumerate(lists[name].feature):
        if feature.WhichOneof("kind") != "float_list":
            raise invalid(
                f"Name: <unknown>, Feature list: {name}, Index: {step}.  Data types don't match. Expected type: float"
            )
        values = feature.float_list.value
        if len(values) != 1:
            raise invalid(
                f"Name: <unknown>, Key: {name}, Index: {step}.  Number of values != expected.  "
                f"values size: {len(values)} but output shape: []"
            )
        column[step] = values[0]
    return column


def _batch(serialized: np.ndarray) -> int:
    if serialized.ndim != 1:
        shape = ",".join(map(str, serialized.shape))
        raise invalid(f"Expected serialized to be a scalar or vector, got shape: [{shape}]")
    return len(serialized)


def _example(content: object) -> Mapping[str, Message]:
    message = protos.example().Example()
    try:
        message.ParseFromString(content)
    except Exception:  # DecodeError, or TypeError of what is no bytes
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        raise invalid(f"Could not parse example input, value: '{text[:500]}'") from None
    return message.features.feature


def _floats(columns: Mapping[str, Message], name: str, row: int) -> np.ndarray | None:
    """A column's floats; None: it is not there."""
    if name not in columns:
        return None
    kind = columns[name].WhichOneof("kind")
    if kind is None:
        return None
    if kind != "float_list":
        raise invalid(
            f"Name: <unknown>, Key: {name}, Index: {row}.  Data types don't match. "
            f"Data type: {KINDS[kind]} but expected type: float"
        )
    return np.array(columns[name].float_list.value, np.float32)


def _joined(rows: list[list[np.ndarray]], features: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of each row side by side, padded to the longest row; refused where columns of a row differ in length."""
    for columns in rows:
        for column in columns[1:]:
            if len(column) != len(columns[0]):
                raise invalid(f"{UNEQUAL} {[len(column)]} {[len(columns[0])]}")
    lengths = np.array([len(columns[0]) for columns in rows], np.int32)
    values = np.zeros((len(rows), int(lengths.max(initial=0)), features), np.float32)
    for row, columns in enumerate(rows):
        values[row, : lengths[row]] = np.stack(columns, axis=-1)
    return values, lengths
