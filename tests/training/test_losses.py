from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seq.config import ModelConfig, TrainingConfig
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.errors import ConfigError
from keras_seq.training.losses import BinaryLoss, ClassLoss, QuantileLoss, ValueLoss, make_loss, smooth_phm08

MODEL = ModelConfig()
QUANTILES = ModelConfig(quantiles=(0.1, 0.5, 0.9))


def spec(task: str, **changes: object) -> DataSpec:
    scaling = Scaling(center=((0.0,),), scale=((1.0,),), fill=(0.0,))
    known = {"features": ("x",), "targets": ("y",), "time": 5, "variable_length": False, "scaling": scaling}
    return DataSpec.model_validate({"task": task, **known, **changes})


def value(loss: keras.losses.Loss, truth: object, answer: object, weights: object = None) -> float:
    if weights is not None:
        weights = tf.constant(weights, tf.float32)
    return float(loss(tf.constant(truth), tf.constant(answer), sample_weight=weights))


@pytest.mark.parametrize(("kind", "expected"), [("mse", (1 + 9) / 2), ("mae", (1 + 3) / 2), ("huber", (0.5 + 2.5) / 2)])
def test_values_are_compared_in_deviations(kind: str, expected: float) -> None:
    loss = ValueLoss(kind, (10.0, 0.1))
    assert value(loss, [[0.0, 0.0]], [[10.0, 0.3]]) == pytest.approx(expected, rel=1e-5)


def test_padding_dilutes_nothing() -> None:
    loss = ValueLoss("mae", (1.0,), per_step=True)
    truth, answer = np.zeros((2, 3, 1), "f"), np.array([[1, 3, 100], [2, 100, 100]], "f")[..., None]
    assert value(loss, truth, answer, [[1, 1, 0], [1, 0, 0]]) == pytest.approx((1 + 3 + 2) / 3)
    assert value(loss, truth, answer, np.zeros((2, 3))) == 0.0


def test_sample_weights_are_a_weighted_mean() -> None:
    loss = ValueLoss("mse", (1.0,))
    assert value(loss, [[0.0], [0.0]], [[1.0], [2.0]], [3.0, 1.0]) == pytest.approx((3 * 1 + 4) / 4)


def test_quantiles_of_one_target_and_of_a_horizon() -> None:
    loss = QuantileLoss((0.1, 0.9), (2.0,))
    one = value(loss, [[1.0]], [[0.0, 3.0]])
    assert one == pytest.approx((0.1 * 1 + 0.1 * 2) / 2 / 2)
    many = np.tile(np.array([0.0, 3.0], "f"), (4, 6, 1, 1))
    assert value(loss, np.ones((4, 6, 1), "f"), many) == pytest.approx(one)


def test_phm08_is_the_score_but_smooth_at_0_and_bounded_in_slope() -> None:
    for difference in (-30.0, -20.0, 15.0, 25.0):
        exact = np.expm1(-difference / 13 if difference < 0 else difference / 10)
        assert float(smooth_phm08(tf.constant(difference))) == pytest.approx(exact, rel=0.12)
    points = tf.Variable([-1e6, -50.0, 0.0, 50.0, 1e6])
    with tf.GradientTape() as tape:
        score = smooth_phm08(points)
    slope = tape.gradient(score, points).numpy()
    assert np.isfinite(score).all() and (np.diff(slope) >= 0).all()
    assert slope[2] == 0 and slope[-1] == pytest.approx(np.exp(3) / 10, rel=1e-5)


def test_binary_losses_are_their_formulas() -> None:
    truth, answer = [[1.0], [0.0]], [[0.7], [0.4]]
    plain = -(np.log(0.7) + np.log(0.6)) / 2
    assert value(BinaryLoss(), truth, answer) == pytest.approx(plain, rel=1e-5)
    weighted = -(3 * np.log(0.7) + np.log(0.6)) / 2
    assert value(BinaryLoss(positive_weight=3.0), truth, answer) == pytest.approx(weighted, rel=1e-5)
    focal = -(0.3**2 * np.log(0.7) + 0.4**2 * np.log(0.6)) / 2
    assert value(BinaryLoss(gamma=2.0), truth, answer) == pytest.approx(focal, rel=1e-5)
    smooth = -(0.9 * np.log(0.7) + 0.1 * np.log(0.3) + 0.9 * np.log(0.6) + 0.1 * np.log(0.4)) / 2
    assert value(BinaryLoss(smoothing=0.2), truth, answer) == pytest.approx(smooth, rel=1e-5)


def test_class_numbers_and_shares_of_classes_agree() -> None:
    answer = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], "f")
    for loss in (ClassLoss(3), ClassLoss(3, gamma=2.0), ClassLoss(3, smoothing=0.1)):
        numbers = value(loss, np.array([0, 2], "int32"), answer)
        assert numbers == pytest.approx(value(loss, np.eye(3, dtype="f")[[0, 2]], answer))
    assert value(ClassLoss(3), np.array([0, 2], "int32"), answer) == pytest.approx(-(np.log(0.7) + np.log(0.6)) / 2)
    mixed = -(0.5 * np.log(0.7) + 0.5 * np.log(0.2))
    assert value(ClassLoss(3), [[0.5, 0.5, 0.0]], answer[:1]) == pytest.approx(mixed, rel=1e-5)


def test_a_confident_mistake_still_has_a_gradient() -> None:
    """Saturated in float32: the loss must fall back on the logits behind the probability."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", kernel_initializer="ones")(inputs))

    @tf.function
    def gradient() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = BinaryLoss()(tf.constant([[0.0]]), model(tf.constant([[40.0]]), training=True))
        return tape.gradient(loss, model.trainable_variables)[1]

    assert float(gradient()[0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "model", "data"),
    [
        ("auto", MODEL, spec("regression", target_std=(2.0,))),
        ("phm08", MODEL, spec("regression", per_step=True, target_std=(2.0,))),
        ("auto", QUANTILES, spec("forecast", horizon=3, target_std=(2.0,))),
        ("weighted_bce", MODEL, spec("binary", classes=("a", "b"))),
        ("focal", MODEL, spec("multiclass", classes=("a", "b", "c"))),
    ],
)
def test_configuration_survives(name: str, model: ModelConfig, data: DataSpec) -> None:
    loss = make_loss(TrainingConfig(loss=name), model, data, positive_share=0.2)  # type: ignore[arg-type]
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()


def test_weighted_bce_makes_classes_count_alike() -> None:
    loss = make_loss(TrainingConfig(loss="weighted_bce"), MODEL, spec("binary"), positive_share=0.2)
    assert loss.positive_weight == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("name", "model", "task", "message"),
    [
        ("mse", MODEL, "binary", "'mse', which does not fit the task 'binary'; choose one of: auto, bce"),
        ("bce", MODEL, "forecast", "does not fit the task 'forecast'"),
        ("quantile", MODEL, "regression", "go together"),
        ("huber", QUANTILES, "regression", "go together"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(name: str, model: ModelConfig, task: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_loss(TrainingConfig(loss=name), model, spec(task))  # type: ignore[arg-type]
