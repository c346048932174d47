"""Integrated gradients beside shap's KernelExplainer: time, additivity error and faithfulness on the same windows.

    python scripts/bench_explain.py                 # 20 samples of 50 steps x 14 features, 50 backgrounds
    python scripts/bench_explain.py --kernel 3      # samples the KernelExplainer is given; its time is scaled to all

An LSTM 64x2 and an LSTM(32) are trained for four epochs on random walks whose target needs two sensors, so that there
is something to explain. The first call compiles; the others are what a user of more than one explanation meets.
Deletion and insertion are areas of the curves of ``keras_seq.explain.faithfulness``: lower and higher are better.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

SAMPLES, BACKGROUNDS, TIME, FEATURES = 20, 50, 50, 14
NETWORKS = ((2, 64), (1, 32))


def walks(count: int, seed: int) -> np.ndarray:
    """Random walks ``(count, time, features)``."""
    return (np.cumsum(np.random.default_rng(seed).normal(size=(count, TIME, FEATURES)), 1) * 0.3).astype(np.float32)


def trained(layers: int, units: int) -> tuple[Any, Any]:
    """A network and its spec."""
    import keras

    from keras_seq.config import ModelConfig
    from keras_seq.data.spec import DataSpec, Scaling
    from keras_seq.models import build_model

    zeros, ones = (0.0,) * FEATURES, (1.0,) * FEATURES
    spec = DataSpec(
        task="regression",
        features=tuple(f"s{number}" for number in range(FEATURES)),
        targets=("y",),
        time=TIME,
        variable_length=False,
        target_mean=(0.0,),
        target_std=(1.0,),
        scaling=Scaling(center=(zeros,), scale=(ones,), fill=zeros),
    )
    keras.utils.set_random_seed(0)
    model = build_model(ModelConfig(family="lstm", units=units, layers=layers, hidden_dims=()), spec)
    values = walks(2000, 1)
    target = values[:, -10:, 0].mean(1) + values[:, -1, 1] * values[:, 20, 2]
    model.compile("adam", "mse", jit_compile=True)
    model.fit({"values": values}, target[:, None], epochs=4, batch_size=64, verbose=0)
    return model, spec


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What ``work`` gives, and its wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - processor


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    from keras_seq.explain import background, explained_model, faithfulness, masked_model, output_target, samples
    from keras_seq.explain.methods import gradients, shap_values

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="calls of integrated gradients, the first one compiles")
    parser.add_argument("--kernel", type=int, default=3, help="samples for the KernelExplainer; 0: leave it out")
    options = parser.parse_args()
    given, beside = walks(SAMPLES, 2), walks(BACKGROUNDS, 3)
    print(
        "| network | method | wall, s | CPU, s | error / range | deletion | insertion |\n|---|---|---|---|---|---|---|"
    )
    for layers, units in NETWORKS:
        model, spec = trained(layers, units)
        ask = explained_model.ExplainedModel(model, spec, output_target.make_target(spec))
        backgrounds = background.from_windows(beside, np.full(BACKGROUNDS, TIME), spec, count=BACKGROUNDS)

        def played(rows: np.ndarray, ask: Any = ask, backgrounds: Any = backgrounds, spec: Any = spec) -> Any:
            return masked_model.MaskedModel(ask, samples.from_arrays(rows, spec), backgrounds)

        name = f"LSTM {units} x {layers}"
        for number in range(options.rounds):
            found, wall, cpu = timed(lambda: gradients.integrated_gradients(played(given)))
            label = "integrated gradients" + (", first call" if not number else "")
            print(
                f"| {name} | {label} | {wall:.2f} | {cpu:.2f} | {found.additivity_error().max():.4f} | | |", flush=True
            )
        if not options.kernel:
            continue
        few = played(given[: options.kernel])
        few.mean_answers(0, np.ones((40, TIME, FEATURES), bool))  # compiled before it is timed
        kernel, wall, cpu = timed(partial(shap_values.kernel, few, evaluations=500))
        share = SAMPLES / options.kernel
        methods = {"KernelExplainer, 500": kernel, "integrated gradients": found.take(np.arange(options.kernel))}
        for label, values in methods.items():
            deletion, insertion = faithfulness.curves(few, values).areas
            cost = (f"{wall * share:.1f}", f"{cpu * share:.1f}") if values is kernel else ("", "")
            error = f"{values.additivity_error().max():.4f}"
            row(name, label, *cost, error, f"{deletion:.3f}", f"{insertion:.3f}")


if __name__ == "__main__":
    main()
