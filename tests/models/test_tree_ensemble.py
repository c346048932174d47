"""Trees in the graph answer as the libraries that grew them, whatever the task, and keep doing so in every format."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import ensemble

from keras_seq.baselines.grown import forest_layer, histogram_layer, lightgbm_layer
from keras_seq.models.tree_ensemble import Tree, TreeEnsemble, floor_float32, join_trees
from tests.factories.onnx_graph import run_as_onnx

ROWS, COLUMNS = 400, 6


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    x[:, 5] = np.round(x[:, 5])  # ties at thresholds
    return x


def values(x, outputs=2):
    return np.stack([x[:, 0] * x[:, 1] + x[:, 5], np.abs(x[:, 2]) * 100 + 1000], 1)[:, :outputs]


def kinds(x, classes=3):
    return np.digitize(x[:, 0] + 0.5 * x[:, 5], np.linspace(-1, 1, classes + 1)[1:-1])


def placed(parts):
    layer, weights = parts
    layer.build((None, COLUMNS))
    layer.set_weights(weights)
    return layer


def boosted(kind, x, y, **options):
    return getattr(ensemble, f"HistGradientBoosting{kind}")(max_iter=12, min_samples_leaf=5, **options).fit(x, y)


@pytest.mark.parametrize("kind", ["RandomForest", "ExtraTrees"])
def test_forests_of_values(rows, kind):
    model = getattr(ensemble, f"{kind}Regressor")(70, random_state=0).fit(rows, values(rows))  # more than one block
    np.testing.assert_allclose(placed(forest_layer(model))(rows), model.predict(rows), rtol=1e-5)


@pytest.mark.parametrize("kind", ["RandomForest", "ExtraTrees"])
def test_forests_of_classes(rows, kind):
    model = getattr(ensemble, f"{kind}Classifier")(20, random_state=0).fit(rows, kinds(rows))
    np.testing.assert_allclose(placed(forest_layer(model, 3))(rows), model.predict_proba(rows), atol=1e-6)
    binary = getattr(ensemble, f"{kind}Classifier")(20, random_state=0).fit(rows, kinds(rows) > 0)
    binary.classes_ = np.array([0, 1])
    np.testing.assert_allclose(placed(forest_layer(binary, 1))(rows)[:, 0], binary.predict_proba(rows)[:, 1], atol=1e-6)


def test_boosting_of_values_one_model_an_output(rows):
    y = values(rows)
    models = [boosted("Regressor", rows, column) for column in y.T]
    expected = np.stack([model.predict(rows) for model in models], 1)
    np.testing.assert_allclose(placed(histogram_layer(models))(rows), expected, rtol=1e-5, atol=1e-5)


def test_boosting_of_classes(rows):
    many = boosted("Classifier", rows, kinds(rows))
    np.testing.assert_allclose(placed(histogram_layer([many], 3))(rows), many.predict_proba(rows), atol=1e-5)
    two = boosted("Classifier", rows, kinds(rows, 2))
    np.testing.assert_allclose(placed(histogram_layer([two], 1))(rows)[:, 0], two.predict_proba(rows)[:, 1], atol=1e-5)


@pytest.mark.parametrize("known", [[0, 2], [0, 2, 4]])
def test_a_class_that_training_never_saw_is_impossible(rows, known):
    labels = np.array(known)[kinds(rows, len(known))]
    boosting, forest = boosted("Classifier", rows, labels), ensemble.RandomForestClassifier(5).fit(rows, labels)
    for parts, model in ((histogram_layer([boosting], 5), boosting), (forest_layer(forest, 5), forest)):
        answer = np.asarray(placed(parts)(rows))
        assert answer.shape == (ROWS, 5) and (np.delete(answer, known, 1) == 0).all()
        np.testing.assert_allclose(answer[:, known], model.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize("task", ["values", "two", "many"])
def test_lightgbm(rows, task):
    lightgbm = pytest.importorskip("lightgbm", reason="the optional extra 'trees' is not installed")
    options = {"n_estimators": 10, "min_child_samples": 5, "verbosity": -1, "n_jobs": 1}
    if task == "values":
        models = [lightgbm.LGBMRegressor(**options).fit(rows, column) for column in values(rows).T]
        expected, classes = np.stack([model.predict(rows) for model in models], 1), 0
    else:
        classes = {"two": 1, "many": 3}[task]
        models = [lightgbm.LGBMClassifier(**options).fit(rows, kinds(rows, max(classes, 2)))]
        expected = models[0].predict_proba(rows)[:, -classes:]
    np.testing.assert_allclose(placed(lightgbm_layer(models, classes))(rows), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=200)
@given(threshold=st.floats(-1e38, 1e38), near=st.integers(-3, 3))
def test_rounded_thresholds_send_every_float32_the_same_way(threshold, near):
    x = np.float32(threshold)
    for _ in range(abs(near)):
        x = np.nextafter(x, np.float32(np.sign(near) * np.inf))
    rounded = floor_float32(np.array([threshold]))
    assert bool(x <= rounded[0]) == (float(x) <= threshold)


def test_siblings_lie_side_by_side_and_leaves_hold_their_rows(rows):
    model = ensemble.RandomForestRegressor(3, random_state=0, max_depth=4).fit(rows, values(rows))
    joined = placed(forest_layer(model))
    left, threshold = np.asarray(joined.left), np.asarray(joined.threshold)
    leaf = np.isposinf(threshold)
    assert (left[leaf] == np.flatnonzero(leaf)).all() and (left[~leaf] > np.flatnonzero(~leaf)).all()
    assert joined.depths == [4] and leaf.sum() == sum(e.tree_.n_leaves for e in model.estimators_)


def test_shallow_blocks_are_walked_less_deep():
    def chain(depth):
        inner = np.arange(depth)
        return Tree(
            np.zeros(2 * depth + 1, int), np.zeros(2 * depth + 1),
            np.concatenate([depth + 1 + inner, np.full(depth + 1, -1)]),
            np.concatenate([inner + 1, np.full(depth + 1, -1)]), np.zeros((2 * depth + 1, 1)),
        )  # fmt: skip

    assert join_trees([chain(9)] + [chain(1)] * 127).depths == (1, 9)


def test_leading_axes_are_free(rows):
    layer = placed(forest_layer(ensemble.RandomForestRegressor(5, random_state=0).fit(rows, values(rows))))
    apart = layer(rows.reshape(20, 20, COLUMNS))
    np.testing.assert_array_equal(np.asarray(apart).reshape(ROWS, 2), layer(rows))
    assert layer.compute_output_shape((None, None, COLUMNS)) == (None, None, 2)


def as_model(parts):
    layer, weights = parts
    x = keras.Input((COLUMNS,), name="values")
    model = keras.Model(x, layer(x))
    layer.set_weights(weights)
    return model


def test_nothing_is_trained_and_a_saved_model_answers_the_same(rows, tmp_path):
    model = as_model(histogram_layer([boosted("Classifier", rows, kinds(rows))], 3))
    assert not model.trainable_weights
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.layers[-1], TreeEnsemble)
    np.testing.assert_array_equal(again(rows), model(rows))


def test_onnx_has_no_loop_and_agrees(rows):
    import tensorflow as tf

    forest = ensemble.RandomForestRegressor(70, random_state=0, max_depth=6).fit(rows, values(rows))
    for parts in (forest_layer(forest), histogram_layer([boosted("Classifier", rows, kinds(rows))], 3)):
        model = as_model(parts)
        signature = [tf.TensorSpec((None, COLUMNS), tf.float32, name="values")]
        answers, ops = run_as_onnx(lambda values, model=model: {"answer": model(values)}, signature, {"values": rows})
        assert ops["Gather"]
        np.testing.assert_allclose(answers["answer"], model(rows), rtol=1e-5, atol=1e-5)
