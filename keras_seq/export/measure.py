"""What a file costs to run: load time, latency, throughput and memory, each in a process of its own.

Every engine is called the way its documentation recommends: a SavedModel by its signature with tensors, a Keras model
inside a ``tf.function``, ONNX and TFLite files through ``keras_seq.runtime``. The inputs' way into the engine counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_seq.machine import peak_bytes, resident_mb

Call = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
SECONDS = 1.5  # spent on one batch size
FEWEST, MOST = 20, 2000  # calls of one batch size


def measure(
    kind: str,
    path: str,
    windows: str,
    out: str,
    *,
    threads: int,
    batches: list[int],
    seconds: float = SECONDS,
    engine: str = "",
) -> dict[str, Any]:
    """Load a file, answer all windows, and time single calls.

    Args:
        kind: "saved_model", "keras", or a format that ``keras_seq.runtime`` runs.
        path: of the file or folder.
        windows: ``.npz`` with ``values (n, time, features)`` and, where lengths vary, ``lengths (n,)``.
        out: ``.npz`` that takes the answers.
        threads: of one call.
        batches: batch sizes to time.
        seconds: spent on each of them, at least.
        engine: of the format; see ``keras_seq.export.formats.Format``.

    Returns:
        ``load_s``, ``resident_mb``, ``peak_mb`` and by batch size ``p50``, ``p95``, ``p99`` (ms) and ``per_second``.
    """
    with np.load(windows) as stored:
        inputs = {name: stored[name] for name in stored.files}
    start = time.perf_counter()
    call = _loaded(kind, path, threads, engine)
    call(_batch(inputs, 1, 0))
    loaded = time.perf_counter() - start
    np.savez(out, **_answers(call, inputs))  # type: ignore[arg-type]
    timed = {str(size): _timed(call, inputs, size, seconds) for size in batches}
    return {"load_s": loaded, "peak_mb": peak_bytes() / 1e6, "resident_mb": resident_mb(), "batches": timed}


def _loaded(kind: str, path: str, threads: int, engine: str) -> Call:
    if kind in ("saved_model", "keras"):
        return _tensorflow(kind, path, threads)
    from keras_seq.runtime import load

    predictor = load(path, threads=threads, engine=engine)

    def call(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return predictor.predict(inputs["values"], inputs.get("lengths"))

    return call


def _tensorflow(kind: str, path: str, threads: int) -> Call:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if kind == "saved_model":
        loaded = tf.saved_model.load(path)
        function = loaded.signatures["serving_default"]
    else:
        from keras_seq.bundle import load_bundle
        from keras_seq.export.metadata import source_of

        source = source_of(load_bundle(path))
        graph = source.graph()
        loaded, function = graph, tf.function(graph.function, input_signature=graph.signature)

    def call(inputs: dict[str, np.ndarray], loaded: Any = loaded) -> dict[str, np.ndarray]:
        answers = function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in answers.items()}

    return call


def _batch(inputs: dict[str, np.ndarray], size: int, number: int) -> dict[str, np.ndarray]:
    rows = np.arange(number * size, (number + 1) * size) % len(inputs["values"])
    return {name: value[rows] for name, value in inputs.items()}


def _answers(call: Call, inputs: dict[str, np.ndarray], size: int = 64) -> dict[str, np.ndarray]:
    count = len(inputs["values"])
    parts = [call({name: value[low : low + size] for name, value in inputs.items()}) for low in range(0, count, size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _timed(call: Call, inputs: dict[str, np.ndarray], size: int, seconds: float = SECONDS) -> dict[str, float]:
    """Other windows at every call, so that nothing is answered from a cache."""
    for number in range(3):
        call(_batch(inputs, size, number))
    times = np.array(list(_durations(call, inputs, size, seconds)))
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {"p50": p50, "p95": p95, "p99": p99, "per_second": size * 1e3 / p50, "calls": float(len(times))}


def _durations(call: Call, inputs: dict[str, np.ndarray], size: int, seconds: float) -> Iterator[float]:
    spent = 0.0
    for number in range(MOST):
        batch = _batch(inputs, size, number)
        start = time.perf_counter()
        call(batch)
        took = (time.perf_counter() - start) * 1e3
        yield took
        spent += took
        if number >= FEWEST and spent > seconds * 1e3:
            return
