"""Training speed of small sequence models (50 steps, 14 features, Adam, MSE) beside PyTorch and stock Keras.

    scripts/bench train                                  # LSTM 64x2, batches 64, 128, 256; a few minutes
    scripts/bench train --batches 64 --rounds 15
    scripts/bench train --family gru --time 300 --steps 8 --steps-per-execution 8
    scripts/bench train --threads 1                      # on a busy machine: read "least cpu ratio"

Everyone trains on the same ready-made batches in memory with the same number of threads: ours by the loop of
`keras_seq.training`, stock Keras through `fit` (many steps an execution, no tf.data autotune, endless data), torch in a
plain loop (nn.LSTM, fused Adam, zero_grad(set_to_none)), and through torch.compile where that works; the fastest torch
counts. Each contender is a process of its own, woken for one epoch at a time in rotating order, so a busy machine hurts
all alike: read the ratios (medians of the rounds'), and beside them the ratios of CPU time. A quiet machine is still
needed for numbers worth quoting. torch is optional: `pip install torch`.

"torch-kept" is torch with glibc told to keep freed memory: otherwise torch takes fresh pages from the system at every
step (see its faults). Beside them: "plain", "whole", "split", "loops" and "loops-split" are our loop with other plans
(`keras_seq.training.compiled.XlaPlan`) than the one that training would choose; "products" is the time of the recurrent
layers' matrix products alone, which no implementation on the same library undercuts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from training_peers import FAMILIES, FEATURES, keras_model, products, torch_model

STEPS = ("plain", "whole", "split", "loops", "loops-split")  # of our loop
CONTENDERS = ("ours", *STEPS, "torch", "torch-kept", "torch-compile", "stock", "products")
KEEP = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000"}  # for glibc
CLOCKS = {"wall": "ratio", "cpu": "cpu ratio"}
Batches = tuple[np.ndarray, np.ndarray]


def batches(steps: int, batch: int, time: int) -> Batches:
    """Inputs ``(steps, batch, time, features)`` and targets ``(steps, batch, 1)``, float32."""
    rng = np.random.default_rng(0)
    shape = (steps, batch, time, FEATURES)
    return rng.normal(size=shape).astype(np.float32), rng.normal(size=(steps, batch, 1)).astype(np.float32)


def clocks() -> tuple[float, ...]:
    """Wall and CPU seconds of this process, all threads, and its page faults."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime, used.ru_minflt


def answer(steps: int, before: tuple[float, ...], **more: float) -> None:
    """Report an epoch to the parent."""
    wall, cpu, faults = ((now - then) / steps for now, then in zip(clocks(), before, strict=True))
    print(json.dumps({"wall": 1e3 * wall, "cpu": 1e3 * cpu, "faults": faults, **more}), flush=True)


def wait() -> None:
    """Sleep until the parent asks for an epoch; leave when it is gone."""
    if not sys.stdin.readline():
        os._exit(0)


def train_keras(kind: str, data: Batches, options: argparse.Namespace) -> None:
    """Stock layers by `fit`, ours by the project's own loop; an answer is two epochs."""
    from keras_seq.models.xla_flags import prepare_environment

    if kind != "stock":
        prepare_environment()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    settings = tf.data.Options()
    settings.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensor_slices(data).repeat().prefetch(2).with_options(settings)
    model = keras_model(options.family, options.time, own=kind != "stock")
    if kind == "stock":
        model.compile("adam", "mse", jit_compile=False, steps_per_execution=options.steps_per_execution)
        return fit_stock(model, dataset, options)
    train_ours(kind, model, dataset, options)


def train_ours(kind: str, model: Any, dataset: Any, options: argparse.Namespace) -> None:
    """The loop of `keras_seq.training`, with the step that it would choose or the one named."""
    import keras
    import tensorflow as tf

    from keras_seq.training.compiled import XlaPlan, plan_step
    from keras_seq.training.loop import Loop

    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    weighted = dataset.map(lambda x, y: (x, y, tf.ones(tf.shape(y)[:1])))
    training = SimpleNamespace(jit=True, deterministic=False, epochs=1000, batch_size=options.batches[0])
    spec = SimpleNamespace(task="regression", variable_length=False, time=options.time)
    chosen = plan_step(
        training, model, spec, np.full(10**6, options.time), bucket=1, gpu=False, threads=options.threads
    )
    plans = {
        "ours": chosen,
        "plain": XlaPlan(),
        "whole": XlaPlan(jit=True),
        "split": XlaPlan(jit=True, parts=options.threads),
        "loops": XlaPlan(loops=1),
        "loops-split": XlaPlan(loops=options.threads),
    }
    loop = Loop(model, keras.losses.MeanSquaredError(), optimizer, weighted, spec, plan=plans[kind])
    loop.run(2 * options.steps, at_once=options.steps_per_execution)  # compiles
    while True:
        start = clocks()
        loop.run(2 * options.steps, at_once=options.steps_per_execution)
        answer(2 * options.steps, start)
        wait()


def fit_stock(model: Any, dataset: Any, options: argparse.Namespace) -> None:
    """Endless `fit`."""
    import keras

    class Clock(keras.callbacks.Callback):
        """Wakes and answers at every other epoch's end."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch % 2 == 0:
                if epoch >= 2:  # the first two compile
                    wait()
                self.start = clocks()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch % 2:
                answer(2 * options.steps, self.start)

    model.fit(dataset, epochs=10**6, steps_per_epoch=options.steps, verbose=0, callbacks=[Clock()])


def train_torch(kind: str, data: Batches, options: argparse.Namespace) -> None:
    """Plain loop over contiguous batches; an answer is two epochs."""
    import torch

    torch.set_num_threads(options.threads)

    net = torch_model(options.family)
    loss = torch.nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def forward_loss(x: Any, y: Any) -> Any:
        return loss(net(x), y)

    compute: Callable[[Any, Any], Any] = torch.compile(forward_loss) if kind == "torch-compile" else forward_loss
    tensors = [tuple(torch.from_numpy(part[k]).contiguous() for part in data) for k in range(options.steps)]
    first = True
    while True:
        if not first:
            wait()
        start = clocks()
        for _ in range(2):
            for x, y in tensors:
                optimizer.zero_grad(set_to_none=True)
                compute(x, y).backward()
                optimizer.step()
        answer(2 * options.steps, start)
        first = False


def run_products(options: argparse.Namespace) -> None:
    """The matrix products alone; an answer is two epochs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    step = products(options.family, options.batches[0], options.time)
    step()
    first = True
    while True:
        if not first:
            wait()
        start = clocks()
        for _ in range(2 * options.steps):
            step()
        answer(2 * options.steps, start)
        first = False


def child(options: argparse.Namespace) -> None:
    if options.child == "products":
        return run_products(options)
    data = batches(options.steps, options.batches[0], options.time)
    run = train_torch if options.child.startswith("torch") else train_keras
    run(options.child, data, options)


@contextlib.contextmanager
def started(name: str, batch: int, options: argparse.Namespace) -> Iterator[Callable[[], dict[str, float] | None]]:
    """A contender's process; yields the call that runs an epoch there (None once it has died)."""
    command = [sys.executable, os.path.abspath(__file__), "--child", name, "--batches", str(batch)]
    for option in ("steps", "threads", "steps_per_execution", "family", "time"):
        command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
    errors = None if options.verbose else subprocess.DEVNULL
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "text": True}
    process = subprocess.Popen(command, **pipes, env=os.environ | (KEEP if name == "torch-kept" else {}))
    assert process.stdin and process.stdout
    fresh = True

    def epoch() -> dict[str, float] | None:
        nonlocal fresh
        try:
            if not fresh:
                process.stdin.write("go\n")
                process.stdin.flush()
            fresh = False
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line.strip() else None

    try:
        yield epoch
    finally:
        process.kill()
        process.wait()


def measure(batch: int, options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Rounds of one epoch each per contender; those that do not run here are left out."""
    with contextlib.ExitStack() as stack:
        epochs = {name: stack.enter_context(started(name, batch, options)) for name in options.contenders}
        living = [name for name, epoch in epochs.items() if epoch() is not None]  # compiles; not counted
        for name in set(epochs) - set(living):
            print(f"batch {batch}: {name} does not run here (--verbose says why)", file=sys.stderr)
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in living}
        for k in range(options.rounds):
            for name in living[k % len(living) :] + living[: k % len(living)]:
                result = epochs[name]()
                if result is None:
                    raise SystemExit(f"{name} died at batch {batch}; run with --verbose")
                rounds[name].append(result)
    return rounds


def middle(rounds: list[dict[str, float]], key: str) -> float:
    return statistics.median(r[key] for r in rounds)


def summary(batch: int, rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """One row: medians in ms a step, and ours over the faster torch as the median of the rounds' ratios."""
    row: dict[str, Any] = {"batch": batch}
    for name, results in rounds.items():
        row |= {f"{name} ms": middle(results, "wall"), f"{name} cpu ms": middle(results, "cpu")}
    torches = [name for name in rounds if name.startswith("torch")]
    best = min(torches, key=lambda name: middle(rounds[name], "wall"), default="")
    if best:
        row |= {"best torch": best, "torch faults": middle(rounds[best], "faults")}
    for name in ("ours", *STEPS):
        if name in rounds and best:
            row |= {f"{name} {label}": value for label, value in ratios(rounds[name], rounds[best]).items()}
    return row


def ratios(ours: list[dict[str, float]], peer: list[dict[str, float]]) -> dict[str, float]:
    """Ours over the peer: medians of the rounds' ratios, and the ratio of the least CPU times (for busy machines)."""
    pairs = list(zip(ours, peer, strict=True))
    row = {label: statistics.median(a[key] / b[key] for a, b in pairs) for key, label in CLOCKS.items()}
    return row | {"least cpu ratio": min(r["cpu"] for r in ours) / min(r["cpu"] for r in peer)}


def show(rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    first = [n for n in ("batch", "ours ms", "torch ms", "torch-compile ms", "best torch", "ours ratio") if n in names]
    names = first + [n for n in names if n not in first]

    def cell(value: Any) -> str:
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    table = [names] + [[cell(row.get(name, "-")) for name in names] for row in rows]
    widths = [max(len(line[k]) for line in table) for k in range(len(names))]
    for line in table:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--family", choices=FAMILIES, default="lstm")
    parser.add_argument("--time", type=int, default=50, help="steps of a window")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=64, help="steps an epoch; a round is two epochs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps-per-execution", type=int, default=16)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=["ours", "torch", "torch-kept", "stock"])
    parser.add_argument("--json", help="also write the rows here")
    parser.add_argument("--verbose", action="store_true", help="show what the contenders print")
    parser.add_argument("--child", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps % options.steps_per_execution:  # Keras would run past the epoch's end, uncounted
        parser.error(f"--steps {options.steps} is no multiple of --steps-per-execution {options.steps_per_execution}")
    if options.child:
        return child(options)
    load, rows = os.getloadavg()[0], []
    for batch in options.batches:
        rows.append(summary(batch, measure(batch, options)))
        show(rows[-1:])
    print("ms a training step; ratio: ours over the best torch")
    if load > 0.5:
        print(f"NOT A QUIET MACHINE (load {load:.1f} at the start): the threads of torch spin while they wait, so that")
        print("even its CPU time is too high; with --threads 1 nobody waits and the CPU ratio holds")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
