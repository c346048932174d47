"""What candidates cost: training time, latency side by side, size, memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.evaluation.costs import NOTHING, Costs
from keras_seq.evaluation.profile import size_mb
from keras_seq.figures import Say, silent
from keras_seq.machine import peak_bytes

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared
    from keras_seq.evaluation.candidates import Candidate

ROUNDS = 30
SECONDS = 60.0  # of all latencies together; what is slower is called fewer times
LONGEST = 20.0  # seconds that one call may be expected to take; a batch beyond is not called
MEMORY_SECONDS = 120.0  # of the process that measures memory
BATCHES = (1, 64)
TRIED = (1, 8, 64)  # called in this order until one would take too long
FOOTPRINT = """
import json, sys
from keras_seq import machine
from keras_seq.figures import Say, silent
machine.load_tensorflow()
from keras_seq.export.measure_costs import footprint_mb
print(json.dumps(footprint_mb(sys.argv[1], *json.loads(sys.argv[2]))))
"""


def measure(
    candidates: Sequence[Candidate],
    prepared: Mapping[str, Prepared],
    *,
    rounds: int = ROUNDS,
    memory: bool = True,
    seconds: float = SECONDS,
    say: Say = silent,
) -> dict[str, Costs]:
    """Costs of every candidate's first run; latencies are interleaved, so that all see the same machine.

    Args:
        candidates: loaded.
        prepared: data of each candidate's first run, by name.
        rounds: calls timed for each candidate and batch size.
        memory: also measure memory, each in a process of its own (some seconds).
        seconds: of all latencies together; slow models are called fewer times, and never with a batch that would
            take longer than ``LONGEST``.
        say: takes lines for the user.
    """
    calls = {}
    for candidate in candidates:
        say(f"  {candidate.name}: first calls")
        values, lengths = real_windows(candidate.first, prepared[candidate.name], max(BATCHES))
        calls[candidate.name] = bearable(serving_calls(candidate.first, values, lengths, TRIED), say=say)
    say(f"  latencies in turns, at most {seconds:.0f} s")
    latencies = interleaved(calls, rounds=rounds, seconds=seconds)
    costs = {}
    for candidate in candidates:
        slow = max(BATCHES) not in calls[candidate.name]
        if memory:
            say(f"  {candidate.name}: memory")
        costs[candidate.name] = Costs(
            training_minutes=_training_minutes(candidate.bundles),
            latency_ms_batch1=latencies[candidate.name].get(1, NOTHING),
            latency_ms_batch64=latencies[candidate.name].get(64, NOTHING),
            size_mb=statistics.fmean(size_mb(bundle.folder / "model.keras") for bundle in candidate.bundles),
            memory_mb=_memory(candidate.first, prepared[candidate.name]) if memory and not slow else NOTHING,
            parameters=float(candidate.first.model.count_params()),
        )
    return costs


def bearable(
    calls: Mapping[int, Callable[[], Any]],
    *,
    longest: float = LONGEST,
    say: Say = silent,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, Callable[[], Any]]:
    """The calls of ``BATCHES`` that take at most ``longest`` seconds, judged by smaller batches called twice each.

    Args:
        calls: by batch size; sizes between those of ``BATCHES`` only serve to judge.
        longest: seconds.
        say: told about what is left out.
        clock: of seconds.
    """
    seconds, before, took = {}, 0, 0.0
    for batch in sorted(calls):
        if before and took * batch / before > longest:
            say(f"  {batch} windows at a time are left out: {before} take {took:.1f} s")
            break
        calls[batch]()  # traces
        start = clock()
        calls[batch]()
        before, took = batch, clock() - start
        if batch in BATCHES:
            seconds[batch] = calls[batch]
    return seconds


def interleaved(
    calls: Mapping[str, Mapping[int, Callable[[], Any]]],
    *,
    rounds: int = ROUNDS,
    warm_up: int = 3,
    seconds: float = float("inf"),
) -> dict[str, dict[int, float]]:
    """Median wall time, ms, by name and batch size; in every round each call runs once, in rotating order.

    Args:
        calls: by name and batch size.
        rounds: that are timed, at least one.
        warm_up: rounds before; the first ones are left out where they take a tenth of ``seconds``.
        seconds: after which no further round begins.
    """
    begin, number = time.perf_counter(), -warm_up
    times: dict[str, dict[int, list[float]]] = {name: {batch: [] for batch in of} for name, of in calls.items()}
    names = list(calls)
    while number < rounds:
        spent = time.perf_counter() - begin
        if spent > seconds and number > 0:
            break
        if number < 0 and spent > seconds / 10:
            number = 0
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            for batch, call in calls[name].items():
                start = time.perf_counter()
                call()
                if number >= 0:
                    times[name][batch].append(time.perf_counter() - start)
        number += 1
    return {name: {batch: statistics.median(of) * 1e3 for batch, of in by.items()} for name, by in times.items()}


def serving_calls(
    bundle: Bundle, values: np.ndarray, lengths: np.ndarray | None, batches: Sequence[int] = BATCHES
) -> dict[int, Callable[[], Any]]:
    """The served function on real windows, as many at a time as ``batches`` says, ready to be called."""
    import tensorflow as tf

    from keras_seq.export.serving_graph import served

    quantiles = bundle.experiment.model.quantiles
    graph = served(bundle.model, bundle.spec, decision=bundle.decision, quantiles=quantiles)
    function = tf.function(graph.function, input_signature=graph.signature)
    calls: dict[int, Callable[[], Any]] = {}
    for batch in batches:
        chosen = np.resize(np.arange(len(values)), batch)
        inputs = [tf.constant(values[chosen])]
        if lengths is not None:
            inputs.append(tf.constant(lengths[chosen], tf.int32))
        calls[batch] = lambda inputs=inputs: [tensor.numpy() for tensor in function(*inputs).values()]  # type: ignore[misc]
    return calls


def real_windows(bundle: Bundle, prepared: Prepared, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Validation windows in raw units: ``values (windows, time, features)`` and lengths or None."""
    from keras_seq.data.pipeline import make_dataset

    data = bundle.experiment.data
    index = prepared.index["validation"]
    batches = make_dataset(prepared.series, index, bundle.spec, data, batch_size=count, training=False)
    inputs = next(iter(batches))[0]
    return inputs["values"].numpy(), inputs["lengths"].numpy() if bundle.spec.variable_length else None


def footprint_mb(folder: str, time: int, features: int, variable: bool) -> float:
    """Resident memory that loading a bundle and answering 64 samples adds to this process, MB (2^20 bytes)."""
    from keras_seq.bundle import load_bundle

    before = peak_bytes()
    values = np.zeros((64, time, features), np.float32)
    lengths = np.full(64, time, np.int32) if variable else None
    serving_calls(load_bundle(folder), values, lengths)[64]()
    return (peak_bytes() - before) / 2**20


def _memory(bundle: Bundle, prepared: Prepared) -> float:
    values, lengths = real_windows(bundle, prepared, 64)
    shape = [int(values.shape[1]), int(values.shape[2]), lengths is not None]
    command = [sys.executable, "-c", FOOTPRINT, str(Path(bundle.folder)), json.dumps(shape)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MEMORY_SECONDS)
    except subprocess.TimeoutExpired:
        return NOTHING
    return float(done.stdout.splitlines()[-1]) if done.returncode == 0 and done.stdout else NOTHING


def _training_minutes(bundles: Sequence[Bundle]) -> float:
    found = [bundle.metrics.get("performance", {}).get("training_minutes") for bundle in bundles]
    known = [float(minutes) for minutes in found if minutes is not None]
    return statistics.fmean(known) if known else NOTHING
