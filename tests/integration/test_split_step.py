"""A batch trained in parts, side by side, gives the update of the whole batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seq.data.pipeline import make_dataset
from keras_seq.data.prepare import prepare_series
from keras_seq.models.build import build_model
from keras_seq.training.compiled import XlaPlan
from keras_seq.training.loop import Loop, make_optimizer
from keras_seq.training.losses import make_loss
from keras_seq.training.schedules import make_schedule
from tests.integration.test_fit import experiment, make_series


def make_loop(plan: XlaPlan, *, task: str = "regression", **changes: Any) -> Loop:
    """A loop over batches of 40, every time the same."""
    chosen = experiment(training__weight_decay=0.1, training__optimizer="adamw", training__clip_norm=1.0, **changes)
    prepared = prepare_series(make_series(task), chosen.data)
    keras.utils.set_random_seed(3)
    model = build_model(chosen.model, prepared.spec)
    optimizer = make_optimizer(chosen.training, model, make_schedule(chosen.training, 5))
    loss = make_loss(chosen.training, chosen.model, prepared.spec)
    batches = make_dataset(
        prepared.series, prepared.index["train"], prepared.spec, chosen.data, batch_size=40, training=True
    )
    weights = [0.7, 1.6] if task == "binary" else None
    return Loop(model, loss, optimizer, batches, prepared.spec, plan=plan, class_weights=weights)


@pytest.mark.parametrize(
    ("plan", "task"),
    [
        pytest.param(XlaPlan(parts=2), "regression", id="plain"),
        pytest.param(XlaPlan(jit=True, parts=2), "binary", id="compiled", marks=pytest.mark.slow),
        pytest.param(XlaPlan(loops=2), "regression", id="loops", marks=pytest.mark.slow),
    ],
)
def test_the_update_is_that_of_the_whole_batch(plan: XlaPlan, task: str) -> None:
    whole, split = make_loop(XlaPlan(), task=task), make_loop(plan, task=task)
    losses = [[loop.run(3, at_once=2), loop.run(4, at_once=4)] for loop in (whole, split)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for a, b in zip(whole.model.get_weights(), split.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_parts_drop_different_units_go_on_and_repeat() -> None:
    runs = []
    for _ in range(2):
        loop = make_loop(XlaPlan(parts=2), model__dropout=0.5)
        before = [np.asarray(seed.value) for seed in loop._seeds()]
        assert before
        batch = next(iter(loop._batches))
        sums = tf.function(loop._part_sums, autograph=False)
        first, second, again = (sums(tf.constant(k, tf.uint32), *batch)[0].numpy() for k in (0, 1, 0))
        assert np.abs(first - second).max() > 1e-3  # other units are dropped
        np.testing.assert_array_equal(first, again)
        loop.run(2, at_once=2)
        after = [np.asarray(seed.value) for seed in loop._seeds()]
        steps = [(now - then).tolist() for then, now in zip(before, after, strict=True)]
        assert all(seed == 0 for seed, _ in steps)
        assert max(count for _, count in steps) == 2  # one a step; generators of layers that drop nothing rest
        runs.append(loop.run(2, at_once=1))
    assert runs[0] == runs[1]


def test_a_part_changes_no_variable() -> None:
    """Else TensorFlow would run the parts one after the other."""
    loop = make_loop(XlaPlan(parts=2), model__dropout=0.5)
    graph = tf.function(loop._part_sums, autograph=False).get_concrete_function(
        tf.constant(0, tf.uint32), *next(iter(loop._batches))
    )
    definition = graph.graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    assert {node.op for node in nodes if "ReadVariable" in node.op}
    assert not [node.op for node in nodes if "Assign" in node.op]
