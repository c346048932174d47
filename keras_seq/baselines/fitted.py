"""From a training table to a finished model of the common contract: grow, put into the graph, prove equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.inputs import Inputs, Kind, TrainingTable, collect, kind_of, make_inputs
from keras_seq.config import Experiment, ModelConfig
from keras_seq.data.spec import DataSpec
from keras_seq.errors import ConfigError, ModelError
from keras_seq.figures import Say
from keras_seq.models.heads import AddBase, check_head
from keras_seq.models.tensor import Tensor
from keras_seq.tasks import TASKS
from keras_seq.training.loss_scale import season_of

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

TOLERANCE = 1e-4  # of the target scale, between the library's answers and the graph's
PROVEN = 2000  # training rows on which they are compared
SIGNIFICANT = 1e-6  # of a row's largest magnitude: what float32 sums cannot hold


@dataclass(frozen=True)
class FitRequest:
    """Training table and settings that a grower fits a model to.

    Attributes:
        table: the training rows.
        kind: of the features.
        model: the ``model`` section.
        spec: of the data.
        outputs: numbers in an answer: values, classes, or 1 for a binary probability.
        seed: of the experiment.
        absolute: the sum of absolute errors is wanted to be least, not that of squares.
    """

    table: TrainingTable
    kind: Kind
    model: ModelConfig
    spec: DataSpec
    outputs: int
    seed: int
    absolute: bool = False

    @property
    def weight(self) -> NDArray[np.float64] | None:
        """Weight of each training row as a library takes it; None: all alike."""
        weight = self.table.weight
        if (weight == 1.0).all():
            return None
        return weight if self.absolute else weight**2

    @property
    def classes(self) -> int:
        """Numbers in an answer if classes are told apart: 1 for a binary probability; 0 if values are predicted."""
        return self.outputs if self.spec.classifies else 0


@dataclass(frozen=True)
class Grown:
    """Fitted model as Keras layers, with the library's own answers to compare.

    Attributes:
        name: what it is, for the user.
        layers: unbuilt layers that lead from features to ``(..., outputs)``, and the weights each is given.
        oracle: the library's own answers for feature rows ``(n, k)``: ``(n, outputs)``.
    """

    name: str
    layers: list[tuple[keras.layers.Layer, list[NDArray[Any]] | None]]
    oracle: Callable[[NDArray[np.float32]], NDArray[Any]]


Grow = Callable[[FitRequest], Grown]


def fit_on_table(
    experiment: Experiment,
    prepared: Prepared,
    say: Say,
    grow: Grow,
    *,
    features: Kind | None = None,
    front: Callable[[ModelConfig, DataSpec, Kind], Inputs] = make_inputs,
    reads: str = "lags",
) -> keras.Model:
    """Fit a family whose model is a function of features.

    Args:
        experiment: the configuration.
        prepared: series, windows and fitted numbers.
        say: tells the user where it is.
        grow: fits the library's model and says how it looks as layers.
        features: overrides ``model.features``.
        front: puts the features into the graph.
        reads: what a front of the family's own computes, for the user.

    Returns:
        A model of raw inputs and the named output of the task.

    Raises:
        ConfigError: settings that this family cannot serve.
        DataError: nothing can be learnt from the training rows.
        ModelError: the graph does not answer as the library does.
    """
    model, spec = experiment.model, prepared.spec
    check_fitted(model, spec)
    kind = features or kind_of(model, prepared)
    season = season_of(model, prepared.series.info)
    inputs = make_inputs(model, spec, kind, season) if front is make_inputs else front(model, spec, kind)
    table = collect(experiment, prepared, inputs)
    shape = table.features.shape
    read = kind if front is make_inputs else reads
    say(f"features: {read}, {int(np.prod(shape[1:]))} columns, {shape[0]} training rows")
    loss = experiment.training.loss
    absolute = loss == "mae" or (loss in ("auto", "huber") and inputs.spread is not None)
    job = FitRequest(table, kind, model, spec, count_outputs(spec, table), experiment.seed, absolute)
    grown = grow(job)
    output = inputs.features
    for layer, weights in grown.layers:
        output = layer(output)
        if weights is not None:
            layer.set_weights(weights)
    prove(grown, job)
    say(f"grown: {grown.name}")
    return keras.Model(inputs.tensors, named_output(output, spec, inputs), name=model.family)


def check_fitted(model: ModelConfig, spec: DataSpec) -> None:
    """Refuse what no fitted family answers.

    Raises:
        ConfigError: names the option.
    """
    check_head(model, spec)
    if model.quantiles:
        raise ConfigError(
            f"Option 'model.quantiles': family '{model.family}' predicts means, not quantiles {list(model.quantiles)}; "
            "leave the option out, or use a network."
        )


def count_outputs(spec: DataSpec, table: TrainingTable) -> int:
    """Numbers in an answer."""
    if spec.task == "binary":
        return 1
    if spec.task == "multiclass":
        return max(len(spec.classes), int(table.answers.max()) + 1)
    return max(spec.horizon, 1) * len(spec.targets)


def named_output(output: Tensor, spec: DataSpec, inputs: Inputs) -> Tensor:
    """The answer under the task's name, in its shape; a forecast's level comes back."""
    name = TASKS[spec.task].output
    if spec.task != "forecast":
        return keras.layers.Activation("linear", dtype="float32", name=name)(output)
    shape = (spec.horizon, len(spec.targets))
    if inputs.level is None:
        return keras.layers.Reshape(shape, dtype="float32", name=name)(output)
    output = keras.layers.Reshape(shape, dtype="float32", name="horizon")(output)
    level = inputs.level
    if len(level.shape) == 2:
        level = keras.layers.Reshape((1, shape[1]), dtype="float32", name="level")(level)
    if inputs.spread is not None:
        spread = keras.layers.Reshape((1, shape[1]), dtype="float32", name="spread")(inputs.spread)
        output = keras.layers.Multiply(dtype="float32", name="in_raw_units")([output, spread])
    return AddBase(name=name)(output, level)


def prove(grown: Grown, job: FitRequest) -> None:
    """Compare the layers with the library on training rows.

    Raises:
        ModelError: they differ by more than ``TOLERANCE`` of the target scale.
    """
    rows = job.table.features[:: max(1, len(job.table.features) // PROVEN)]
    expected = np.asarray(grown.oracle(rows), np.float64)
    output: Tensor = rows
    for layer, _ in grown.layers:
        output = layer(output)
    expected, answers = expected.reshape(len(rows), -1), np.asarray(output, np.float64).reshape(len(rows), -1)
    scale = 1.0 if job.classes else np.std(job.table.answers, axis=0).reshape(-1)  # outputs may differ in scale
    allowed = np.broadcast_to(TOLERANCE * scale + SIGNIFICANT * np.abs(expected).max(0), expected.shape[1:])
    apart = np.abs(answers - expected).max(0)
    if not (apart <= allowed).all():
        place = int(np.argmax(np.where(apart <= allowed, 0, apart / allowed)))
        raise ModelError(
            f"The graph of family '{job.model.family}' differs from the fitted model by up to {apart[place]:.3g} on "
            f"{len(rows)} training rows, where {allowed[place]:.3g} is allowed; this is a defect of the conversion, "
            "please report it with the configuration."
        )
