"""Cases, each a series of its own with one label or none, as a table: a row a step, with unit, step and label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.formats.roles import Roles, with_roles
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

UNIT, STEP, LABEL, PART = "case", "step", "label", "part"
Case = tuple[NDArray[np.float64], str | float | None, Sequence[str] | None]


def case_batches(
    cases: Iterable[Case],
    channels: Sequence[str],
    *,
    classes: Sequence[str] | None,
    labelled: bool = True,
    parts: Sequence[str] = (),
    stamped: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Record batches of cases, one each.

    Args:
        cases: values ``(time, channels)``, NaN where missing, the label of each (a text of ``classes``, a number where
            there are none, or None where it is not known), and the times of its steps (None: counted from 0).
        channels: names of the channels.
        classes: the labels in the order of their numbers; empty: told from the cases; None: labels are numbers.
        labelled: whether the cases have labels at all.
        parts: train, validation or test for each case; none: the file is of one part.
        stamped: whether the cases have times, as texts.
    """
    import pyarrow as pa

    kind = pa.float64() if classes is None else pa.string()
    fields = [
        (UNIT, pa.string()),
        (STEP, pa.string() if stamped else pa.int64()),
        *((name, pa.float64()) for name in channels),
    ]
    roles = Roles(unit=UNIT, time=STEP, part=PART if parts else None)
    if labelled:
        fields.append((LABEL, kind))
        many = "binary" if len(classes or ()) == 2 else "multiclass"
        task = "regression" if classes is None else many if classes else None
        labels = {"targets": (LABEL,), "target_per": "unit", "task": task, "classes": tuple(classes or ())}
        roles = roles.model_copy(update=labels)
    if parts:
        fields.append((PART, pa.string()))
    schema = with_roles(pa.schema(fields), roles)
    for number, (values, label, stamps) in enumerate(cases, start=1):
        times = pa.array(stamps, pa.string()) if stamped else pa.array(np.arange(len(values)))
        columns = [pa.repeat(pa.scalar(str(number)), len(values)), times]
        columns += [pa.array(values[:, i], from_pandas=True) for i in range(len(channels))]
        if labelled:
            columns.append(pa.array([label] * len(values), kind))
        if parts:
            columns.append(pa.array([parts[number - 1]] * len(values)))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def cases_of(path: Path, parts: Mapping[str, Mapping[str, NDArray]]) -> Iterator[pa.RecordBatch]:
    """Record batches of arrays.

    Args:
        path: their file, for messages.
        parts: by part ("": the only one) ``x`` of shape (cases, time, channels), (cases, time) with labels, or one
            series (time,) or (time, channels); maybe ``y``, one label a case, and ``l``, the cases' lengths.

    Raises:
        DataError: an array does not hold numbers, or labels or lengths do not fit it.
    """
    blocks = {part: _block(path, own) for part, own in parts.items()}
    channels = {values.shape[2] for values, _, _ in blocks.values()}
    if len(channels) > 1:
        raise DataError(f"The parts of '{path}' have {sorted(channels)} channels; they must have the same.")
    labels = [label for _, own, _ in blocks.values() for label in (own or ())]
    texts = {label for label in labels if isinstance(label, str)}
    classes = sorted(texts, key=lambda text: (len(text), text)) if texts else None
    names = ["value"] if channels == {1} else [f"channel_{i + 1}" for i in range(channels.pop())]

    def cases() -> Iterator[Case]:
        for values, own, lengths in blocks.values():
            for i, case in enumerate(values):
                yield np.asarray(case[: lengths[i]], np.float64), own[i] if own else None, None

    which = [part for part, (values, _, _) in blocks.items() for _ in values if part]
    yield from case_batches(cases(), names, classes=classes, labelled=bool(labels), parts=which)


def _block(path: Path, arrays: Mapping[str, NDArray]) -> tuple[NDArray, list[str | float] | None, list[int]]:
    """Values ``(cases, time, channels)``, labels and lengths of one part."""
    values, labels, lengths = arrays["x"], arrays.get("y"), arrays.get("l")
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2, 3) or not values.size:
        raise DataError(
            f"The values of '{path}' are {values.dtype} {values.shape}; numbers of shape (cases, time, channels), "
            "(cases, time) or (time, channels) are wanted."
        )
    if values.ndim < 3:
        cases_first = values.ndim == 2 and labels is not None and len(labels) == len(values)
        values = values[:, :, None] if cases_first else values.reshape(1, len(values), -1)
    for what, array in (("labels", labels), ("lengths", lengths)):
        if array is not None and array.shape not in ((len(values),), (len(values), 1)):
            raise DataError(
                f"The {what} in '{path}' have the shape {array.shape}, but there are {len(values)} cases; one each."
            )
    counts = [values.shape[1]] * len(values) if lengths is None else lengths.reshape(-1).astype(int).tolist()
    if min(counts) < 1 or max(counts) > values.shape[1]:
        raise DataError(f"The lengths in '{path}' run from {min(counts)} to {max(counts)}; 1 to {values.shape[1]} fit.")
    return values, None if labels is None else _labels(labels.reshape(-1)), counts


def _labels(labels: NDArray) -> list[str | float]:
    """Labels as texts of classes, or as numbers where some are broken."""
    if labels.dtype.kind == "f" and not (labels == np.round(labels)).all():
        return [float(label) for label in labels]
    if labels.dtype.kind in "fiub":
        return [str(int(label)) for label in labels]
    return [label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label) for label in labels]
