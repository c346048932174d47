"""Members and their rule as one Keras model: raw units in, the named answer of the task out."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_seq.data.spec import DataSpec
from keras_seq.ensembles.rules import Rule
from keras_seq.errors import ModelError
from keras_seq.models import combine
from keras_seq.models.views import last_step, output_name
from keras_seq.tasks import TASKS


def build_ensemble(members: Sequence[Sequence[keras.Model]], rule: Rule, spec: DataSpec) -> keras.Model:
    """One functional model of groups of members.

    The members' layers are copied into one flat graph under names of their own (``m1_1_lstm_1``), so that
    converters, explanations and ``plain_twin`` see an ordinary model. Only "recent" keeps members whole, since
    each of them also looks at earlier windows.

    Args:
        members: models by group; a group (the folds and seeds of one family) answers with its mean.
        rule: combines the groups.
        spec: shapes of the data; ``per_step`` False takes the last step of members that answer at every one.

    Returns:
        ``values [, lengths]`` to the output of the task, named like a single model's.

    Raises:
        ModelError: a member that cannot be copied; names its place.
    """
    inputs = {"values": keras.Input((None, len(spec.features)), dtype="float32", name="values")}
    if spec.variable_length:
        inputs["lengths"] = keras.Input((), dtype="int32", name="lengths")
    views = [[member if spec.per_step else last_step(member) for member in group] for group in members]
    name = next(iter(output_name(view) for group in views for view in group))
    if rule.kind == "recent":
        output = _recent([view for group in views for view in group], rule, spec, inputs, name)
    else:
        answers = [_group(group, inputs, number) for number, group in enumerate(views, 1)]
        output = _combined(answers, rule, name)
    return keras.Model(inputs, output, name="ensemble")


def _group(models: Sequence[keras.Model], inputs: dict[str, keras.KerasTensor], number: int) -> keras.KerasTensor:
    """The mean answer of a group."""
    answers = [_copy_into(model, inputs, f"m{number}_{i}") for i, model in enumerate(models, 1)]
    if len(answers) == 1:
        return answers[0]
    return combine.WeightedMean([1 / len(answers)] * len(answers), name=f"group_{number}")(answers)


def _copy_into(model: keras.Model, inputs: dict[str, keras.KerasTensor], prefix: str) -> keras.KerasTensor:
    """The output of a copy of ``model`` on ``inputs``, its layers renamed."""

    def clone(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "name": f"{prefix}_{layer.name}"})

    try:
        tensors = {tensor.name: inputs[tensor.name] for tensor in model.inputs}
        copy = keras.models.clone_model(model, input_tensors=tensors, clone_function=clone)
        copy.set_weights(model.get_weights())
    except (KeyError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"Member {prefix} of the ensemble cannot be copied into one graph: {reason}.") from None
    return copy.outputs[0]


def _combined(answers: list[keras.KerasTensor], rule: Rule, name: str) -> keras.KerasTensor:
    if rule.kind == "weights":
        weighed = [(answer, weight) for answer, weight in zip(answers, rule.weights, strict=True) if weight > 0]
        return combine.WeightedMean([weight for _, weight in weighed], name=name)([answer for answer, _ in weighed])
    if rule.kind == "median":
        return combine.Median(rule.task == "multiclass", name=name)(answers)
    if rule.kind == "vote":
        return combine.Vote(list(rule.thresholds), name=name)(answers)
    rows = combine.MemberTable(rule.link, name="members")(answers)
    activation = TASKS[rule.task].activation
    kernel, bias = np.asarray(rule.kernel, np.float32), np.asarray(rule.bias, np.float32)
    layer = keras.layers.Dense(kernel.shape[1], activation=activation, dtype="float32", name=name)
    output = layer(rows)
    layer.set_weights([kernel, bias])
    return output


def _recent(
    models: list[keras.Model], rule: Rule, spec: DataSpec, inputs: dict[str, keras.KerasTensor], name: str
) -> keras.KerasTensor:
    """Members called on the window and on what it was at each age."""
    whole = [keras.Model(m.inputs, m.outputs[0], name=f"member_{i}") for i, m in enumerate(models, 1)]
    values, lengths = inputs["values"], inputs.get("lengths")
    windows = [dict(inputs)]
    for age in rule.ages:
        if lengths is None:
            windows.append({"values": combine.Earlier(age, name=f"earlier_{age}")(values)})
        else:
            windows.append({"values": values, "lengths": combine.Earlier(age, name=f"earlier_{age}")(values, lengths)})
    forecasts = [model([window[tensor.name] for tensor in model.inputs]) for window in windows for model in whole]
    layer = combine.RecentErrorMean(
        len(models), list(rule.ages), spec.horizon, list(spec.target_index), list(spec.target_std), name=name
    )
    return layer(values, forecasts) if lengths is None else layer(values, forecasts, lengths)
