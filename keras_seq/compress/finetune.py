"""Fine-tune a twin under a treatment, on the bundle's own training windows; runs in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tf_keras

from keras_seq.bundle import Bundle, load_bundle
from keras_seq.compress.twin import make_twin
from keras_seq.data.pipeline import make_dataset, steps_per_epoch
from keras_seq.models.views import plain_twin
from keras_seq.training.class_weights import chosen_weights, class_shares
from keras_seq.training.compiled import XlaPlan
from keras_seq.training.loop import Loop
from keras_seq.training.losses import make_loss
from keras_seq.training.monitors import MetricMonitor, Validation

if TYPE_CHECKING:
    from keras_seq.compress.tfmot import Treatment
    from keras_seq.data.prepare import Prepared

BATCH = 256  # of validation


class Optimizer:
    """A tf_keras optimizer as our training loop calls it.

    Args:
        optimizer: the tf_keras one.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    def scale_loss(self, loss: Any) -> Any:
        """Unchanged: twins compute in float32."""
        return loss

    def apply(self, gradients: Any, variables: Any) -> None:
        """One update; weights that no longer take part (a clustered kernel's) have no gradient."""
        pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        self.optimizer.apply_gradients(pairs)


def run_stage(bundle: str, stage: str, options: dict[str, Any], weights: str, out: str) -> dict[str, Any]:
    """One stage of compression.

    Args:
        bundle: its folder.
        stage: "prune", "cluster" or "qat".
        options: ``sparsity`` by layer, ``clusters``, ``epochs``, ``learning_rate``, ``seed``.
        weights: ``.npz`` of the model's weights to start from; empty: the bundle's own.
        out: ``.npz`` to write: the model's weights after the stage.

    Returns:
        ``{"history", "best_epoch", "seconds", "learning_rate", "schedule"}``.
    """
    from keras_seq.compress.tfmot import make_treatment

    loaded = load_bundle(bundle)
    experiment = loaded.experiment
    keras.utils.set_random_seed(experiment.seed)
    prepared = loaded.prepared
    model = plain_twin(loaded.model)
    if weights:
        model.set_weights(read_weights(weights))
    steps = steps_per_epoch(prepared.index["train"], experiment.training.batch_size, shuffle=experiment.data.shuffle)
    treatment = make_treatment(stage, options, steps=steps * options["epochs"])
    outcome = _train(loaded, prepared, model, treatment, options, steps)
    write_weights(model, out)
    return outcome


def _train(
    bundle: Bundle, prepared: Prepared, model: keras.Model, treatment: Treatment, options: dict[str, Any], steps: int
) -> dict[str, Any]:
    """Epochs of fine-tuning; ``model`` gets the weights of the best (or last) epoch that fulfils the treatment."""
    training, began = bundle.experiment.training, time.perf_counter()
    twin = make_twin(model, treatment.wrap)
    rate = tf_keras.optimizers.schedules.CosineDecay(options["learning_rate"], steps * options["epochs"], alpha=0.05)
    optimizer = tf_keras.optimizers.Adam(rate, global_clipnorm=training.clip_norm or None)
    optimizer.build(twin.model.trainable_variables)
    loop, validation = _loops(bundle, prepared, twin.model, optimizer)
    monitor = MetricMonitor.choose(training.monitor, prepared.spec.task)
    treatment.begin(twin.model)
    history: dict[str, list[float]] = {"loss": [], f"val_{monitor.name}": []}
    best, value, weights = 0, None, []
    for epoch in range(1, options["epochs"] + 1):
        history["loss"].append(loop.run(steps, at_once=min(training.steps_per_execution, steps)))
        valid = treatment.end_epoch()
        metric = validation()[monitor.name]
        history[f"val_{monitor.name}"].append(metric)
        if valid and (training.keep == "last" or monitor.better(metric, value)):
            best, value = epoch, metric
            weights = [variable.numpy() for variable in twin.model.variables]
    if weights:
        for variable, array in zip(twin.model.variables, weights, strict=True):
            variable.assign(array)
    treatment.finish()
    twin.give_back()
    return {"history": history, "best_epoch": best, "seconds": time.perf_counter() - began}


def _loops(bundle: Bundle, prepared: Prepared, twin: tf_keras.Model, optimizer: Any) -> tuple[Loop, Validation]:
    """Training and validation as they were when the bundle was trained."""
    experiment, spec, series = bundle.experiment, prepared.spec, prepared.series
    training, index = experiment.training, prepared.index
    shares = class_shares(prepared, experiment.data)
    weights = chosen_weights(training, shares, spec)
    unequal = spec.task == "binary" and weights is None
    loss = make_loss(training, experiment.model, spec, positive_share=float(shares[1]) if unequal else 0.5)
    size = training.batch_size
    batches = make_dataset(
        series, index["train"], spec, experiment.data, batch_size=size, training=True, seed=experiment.seed
    )
    held_out = make_dataset(
        series, index["validation"], spec, experiment.data, batch_size=min(max(size, 64), BATCH), training=False
    )
    loop = Loop(twin, loss, Optimizer(optimizer), batches, spec, plan=XlaPlan(), class_weights=weights)
    return loop, Validation(twin, loss, held_out, spec, quantiles=experiment.model.quantiles)


def write_weights(model: keras.Model, path: str | Path) -> None:
    """A model's weights as ``.npz``, in its order."""
    np.savez(path, **{f"{i:05d}": value for i, value in enumerate(model.get_weights())})


def read_weights(path: str | Path) -> list[np.ndarray]:
    """What ``write_weights`` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return [stored[name] for name in sorted(stored.files)]
