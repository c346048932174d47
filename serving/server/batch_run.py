"""One run of the model for several calls: their rows one after the other, padded as TensorFlow Serving pads them.

Source of the padding: ``MergeInputTensors`` and ``SplitOutputTensors`` of ``batching_session.cc``, ``AddPadding`` of
``batching_util.cc``. Of a batch that fails, TensorFlow Serving gives every call the error; here each call is then tried
on its own, because one can spoil the run for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from serving.contract.status import Code, Refused, invalid
from serving.models.servable import Arrays
from serving.server.queued_call import QueuedCall

_DEEPEST = 6  # axes that TensorFlow's padding knows


def run(calls: Sequence[QueuedCall], allowed: Sequence[int] = ()) -> tuple[list[Arrays | Exception], float]:
    """Run calls of one group; results by call, and the seconds it took. Never raises.

    Args:
        calls: of one servable, signature and outputs; their inputs are of one type and number of axes.
        allowed: rows that a run may have, increasing: it is filled up to the next of them; empty: any.
    """
    start = perf_counter()
    try:
        single = len(calls) == 1 and not (allowed and calls[0].rows)
        results: list[Arrays | Exception] = [_run_single(calls[0])] if single else [*_run_batched(calls, allowed)]
    except Exception as error:
        results = [_run_retried(call, allowed) for call in calls] if len(calls) > 1 else [error]
    return results, perf_counter() - start


def _run_single(call: QueuedCall) -> Arrays:
    return call.servable.run(call.signature, call.inputs, call.outputs)


def _run_retried(call: QueuedCall, allowed: Sequence[int]) -> Arrays | Exception:
    (result,), _ = run([call], allowed)
    return result


def _run_batched(calls: Sequence[QueuedCall], allowed: Sequence[int]) -> list[Arrays]:
    first = calls[0]
    rows = sum(call.rows for call in calls)
    total = next((size for size in allowed if size >= rows), rows)
    inputs = {name: _concatenated([call.inputs[name] for call in calls], total - rows) for name in first.inputs}
    outputs = first.servable.run(first.signature, inputs, first.outputs)
    for array in outputs.values():
        if not array.ndim:
            raise Refused(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if array.shape[0] != total:
            raise Refused(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    answers, start = [], 0
    for call in calls:
        end = start + call.rows
        answers.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return answers


def _concatenated(arrays: list[np.ndarray], more: int) -> np.ndarray:
    """Rows of all arrays, then ``more`` times the first row of the last one, which is one that a model can read."""
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1:
        largest = tuple(map(max, zip(*shapes, strict=True)))
        arrays = [_padded(array, largest) for array in arrays]
    if more:
        last = arrays[-1]
        arrays = [*arrays, np.broadcast_to(last[:1], (more, *last.shape[1:]))]
    return np.concatenate(arrays)


def _padded(array: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """An array whose axes behind the first have these sizes; behind its own values stands its first one.

    Raises:
        Refused: INVALID_ARGUMENT, it has no value or more axes than TensorFlow pads.
    """
    if array.shape[1:] == sizes:
        return array
    if array.ndim > _DEEPEST:
        raise invalid(f"Only tensors with rank from 1 to {_DEEPEST} can be padded.")
    if not array.size:
        raise invalid("Got empty tensor in batch of non-empty tensors.")
    padded = np.full((len(array), *sizes), array.flat[0], array.dtype)
    padded[tuple(slice(size) for size in array.shape)] = array
    return padded
