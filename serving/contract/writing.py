"""JSON bodies of replies, byte for byte as TensorFlow Serving lays them out.

RapidJSON's pretty style with four spaces; in row format each instance's value stands on one line, and the lines run
on; in column format every element has a line of its own. One output is not wrapped in an object, several are, their
names sorted. Strings of an output whose name ends in ``_bytes`` are written as ``{"b64": "..."}``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from serving.contract.decimals import double_text, float_text, float_texts
from serving.contract.pretty import quoted
from serving.contract.routes import RefusedWithoutBody
from serving.contract.status import Refused, invalid

_INDENT = "    "
_LONE = b'{\n    "predictions": [[%b]\n    ]\n}'
_UNWRITABLE = {"float16": "half"}


def predict_body(outputs: Mapping[str, np.ndarray], row_format: bool) -> bytes:
    """Body of a predict reply.

    Args:
        outputs: by alias; strings are object arrays of bytes.
        row_format: as the request was: ``predictions``, or ``outputs``.

    Raises:
        Refused: INVALID_ARGUMENT where an output cannot be written so: no or an unequal batch dimension in row
            format ("Tensor name: y has no shape information "), a dtype that JSON does not have.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if not row_format:
        return _columns(outputs)
    if len(outputs) == 1:
        (array,) = outputs.values()
        if array.shape == (1, 1) and array.dtype == np.float32:
            return _LONE % float_text(array.item()).encode()
    return _rows(outputs)


def _rows(outputs: Mapping[str, np.ndarray]) -> bytes:
    batch = -1
    for name, array in sorted(outputs.items()):
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch not in (-1, len(array)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}")
        batch = len(array)
    if batch == 0:
        return b'{\n    "predictions": []\n}'
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        items = _one_line(_texts(name, array, array.ndim + 1), array.shape)
        return _bytes(f'{{\n{_INDENT}"predictions": [{", ".join(items)}\n{_INDENT}]\n}}')
    columns = []
    for name, array in sorted(outputs.items()):
        key = f"\n{_INDENT * 3}{_name(name)}: "
        columns.append([key + text for text in _one_line(_texts(name, array, array.ndim + 2), array.shape)])
    # "{" of each instance is written while arrays still go line by line.
    items = [f"\n{_INDENT * 2}{{{','.join(members)}\n{_INDENT * 2}}}" for members in zip(*columns, strict=True)]
    return _bytes(f'{{\n{_INDENT}"predictions": [{",".join(items)}\n{_INDENT}]\n}}')


def _columns(outputs: Mapping[str, np.ndarray]) -> bytes:
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        text = _many_lines(_texts(name, array, array.ndim + 1), array.shape, 1)
        return _bytes(f'{{\n{_INDENT}"outputs": {text}\n}}')
    members = [
        f"\n{_INDENT * 2}{_name(name)}: {_many_lines(_texts(name, array, array.ndim + 2), array.shape, 2)}"
        for name, array in sorted(outputs.items())
    ]
    return _bytes(f'{{\n{_INDENT}"outputs": {{{",".join(members)}\n{_INDENT}}}\n}}')


def _one_line(texts: list[str], shape: Sequence[int]) -> list[str]:
    """Texts of the instances: the axes behind the first as lists on one line."""
    for axis in range(len(shape) - 1, 0, -1):
        texts = _group(texts, shape, axis, "[", ", ", "]")
    return texts


def _many_lines(texts: list[str], shape: Sequence[int], depth: int) -> str:
    """Text of a whole tensor inside ``depth`` containers: one element a line."""
    for axis in range(len(shape) - 1, -1, -1):
        inner = "\n" + _INDENT * (depth + axis + 1)
        texts = _group(texts, shape, axis, "[" + inner, "," + inner, "\n" + _INDENT * (depth + axis) + "]")
    return texts[0]


def _group(texts: list[str], shape: Sequence[int], axis: int, start: str, between: str, end: str) -> list[str]:
    size = shape[axis]
    if size == 0:
        count = int(np.prod(shape[:axis], dtype=np.int64))
        return ["[]"] * count
    return [start + between.join(texts[at : at + size]) + end for at in range(0, len(texts), size)]


def _texts(name: str, array: np.ndarray, depth: int) -> list[str]:
    """Texts of all elements, flat.

    Args:
        name: of the output; decides how bytes are written.
        array: to write.
        depth: containers around an element; the lines of a base64 object are indented by it.
    """
    kind = array.dtype
    if kind == np.float32:
        return float_texts(array.ravel().tolist())
    if kind == np.float64:
        return [double_text(value) for value in array.ravel().tolist()]
    if kind.kind == "b":
        return ["true" if value else "false" for value in array.ravel().tolist()]
    if kind.kind in "iu" and kind != np.uint16 and kind.itemsize <= 8:
        return list(map(str, array.ravel().tolist()))
    if kind.kind in "OSU":
        write = _base64_writer(depth) if name.endswith("_bytes") else _string
        return [write(value if isinstance(value, bytes) else str(value).encode()) for value in array.ravel().tolist()]
    if array.size:
        raise invalid(f"Failed to write JSON value for tensor type: {_UNWRITABLE.get(kind.name, kind.name)}")
    return []


def _string(value: bytes) -> str:
    return quoted(value).decode("utf-8", "surrogateescape")


def _base64_writer(depth: int) -> Callable[[bytes], str]:
    start, end = f'{{\n{_INDENT * (depth + 1)}"b64": "', f'"\n{_INDENT * depth}}}'
    return lambda value: start + base64.b64encode(value).decode() + end


def _name(name: str) -> str:
    return _string(name.encode("utf-8", "surrogateescape").partition(b"\0")[0])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def classify_body(classes: np.ndarray | None, scores: np.ndarray | None) -> bytes:
    """Body of a classify reply: for each example its ``[label, score]`` pairs.

    Args:
        classes: object (examples, classes) of bytes; None: labels are empty.
        scores: float32 (examples, classes); None: scores are 0.

    Raises:
        Refused: there is no example.
    """
    results = classes if classes is not None else scores
    if results is None or len(results) == 0:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    count = results.size
    labels = ['""'] * count if classes is None else _texts("", classes, 0)
    numbers = ["0.0"] * count if scores is None else _texts("", scores, 0)
    pairs = [f"[{label}, {number}]" for label, number in zip(labels, numbers, strict=True)]
    lists = _one_line(pairs, results.shape)
    return _bytes(f'{{\n{_INDENT}"results": [{", ".join(lists)}\n{_INDENT}]\n}}')


def regress_body(values: np.ndarray) -> bytes:
    """Body of a regress reply.

    Args:
        values: float32 (examples,) or (examples, 1).

    Raises:
        Refused: there is no example.
    """
    if values.size == 0:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _bytes(f'{{\n{_INDENT}"results": [{", ".join(_texts("", values, 0))}]\n}}')


def error_body(error: Refused) -> bytes:
    """Body of a refusal: ``{"error": "..."}``; empty where the real server sends none."""
    if isinstance(error, RefusedWithoutBody):
        return b""
    text = error.message.encode("utf-8", "surrogateescape")
    return b'{\n    "error": ' + quoted(text) + b"\n}"
