"""Methods of shap on the common game. The only module that imports shap; ``DeepExplainer`` is never called.

Kernel, permutation and partition explainers see groups (sensor, time block) that are known or unknown; the worth of a
set is the mean answer over the sample's backgrounds (``keras_seq.explain.masked_model``), so they explain the same
game as integrated gradients and add up to the same difference.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_seq.errors import ConfigError
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.explained_model import ExplainedModel
from keras_seq.explain.feature_groups import BLOCKS, FeatureGroups, make_players
from keras_seq.explain.masked_model import MaskedModel
from keras_seq.explain.refused import refuse_deep
from keras_seq.explain.tree_features import sources
from keras_seq.explain.trees import take_out

EVALUATIONS = 500  # sets of groups a sample

Solve = Callable[[Any, Callable[[Any], NDArray[np.float64]], int], NDArray[np.float64]]


def _shap() -> Any:
    try:
        import shap
    except ImportError:
        raise ConfigError(
            "This method needs the package shap, which is not installed; install it with 'pip install shap', or use "
            "--methods integrated_gradients."
        ) from None
    return shap


def deep(game: MaskedModel) -> NoReturn:
    """Refuse: shap's DeepExplainer fails on recurrent networks and spoils the gradients of the whole process.

    Raises:
        ModelError: always.
    """
    refuse_deep()


def kernel(game: MaskedModel, *, blocks: int = BLOCKS, evaluations: int = EVALUATIONS, seed: int = 0) -> Attribution:
    """Kernel SHAP (Lundberg and Lee, 2017) over groups.

    Args:
        game: samples, backgrounds and model.
        blocks: of time.
        evaluations: sets of groups a sample, each over all backgrounds.
        seed: of the sets.
    """

    def solve(shap: Any, worth: Callable[[Any], NDArray[np.float64]], players: int) -> NDArray[np.float64]:
        np.random.seed(seed)
        explainer = shap.KernelExplainer(worth, np.zeros((1, players)))
        found = explainer.shap_values(np.ones((1, players)), nsamples=evaluations, l1_reg=0, silent=True)
        return np.asarray(found, np.float64).reshape(-1)

    return _grouped(game, "kernel", solve, blocks, evaluations=evaluations, seed=seed)


def permutation(
    game: MaskedModel, *, blocks: int = BLOCKS, evaluations: int = EVALUATIONS, seed: int = 0
) -> Attribution:
    """Shapley values by walking random orders of the groups forwards and backwards (shap's PermutationExplainer)."""

    def solve(shap: Any, worth: Callable[[Any], NDArray[np.float64]], players: int) -> NDArray[np.float64]:
        explainer = shap.PermutationExplainer(worth, np.zeros((1, players)), seed=seed)
        most = max(evaluations, 2 * players + 1)
        return np.asarray(explainer(np.ones((1, players)), max_evals=most, silent=True).values, np.float64).reshape(-1)

    return _grouped(game, "permutation", solve, blocks, evaluations=evaluations, seed=seed)


def partition(game: MaskedModel, *, blocks: int = BLOCKS, evaluations: int = EVALUATIONS, seed: int = 0) -> Attribution:
    """Owen values down a tree: all, then sensors, then blocks of time within a sensor (shap's PartitionExplainer)."""
    found: list[NDArray[np.float64]] = []
    shap, start = _shap(), time.perf_counter()
    with game.ticker.stage("partition", len(game.samples)) as tick:
        for k in range(len(game.samples)):
            players = make_players(game, k, blocks)
            if len(players) < 2:
                found.append(players.spread(_alone(game, k, players)))
            else:
                masker = shap.maskers.Partition(np.zeros((1, len(players))), clustering=_sensor_tree(players))
                explainer = shap.PartitionExplainer(_worth_of(game, k, players), masker)
                one = explainer(np.ones((1, len(players))), max_evals=evaluations, silent=True)
                found.append(players.spread(np.asarray(one.values, np.float64).reshape(-1)))
            tick()
    seconds = time.perf_counter() - start
    return game.attribution(
        found, "partition", additive=True, blocks=blocks, evaluations=evaluations, seed=seed, seconds=seconds
    )


def gradient_shap(game: MaskedModel, *, draws: int = 200, seed: int = 0) -> Attribution:
    """Shap's GradientExplainer: expected gradients from ``draws`` random places. Adds up on average only.

    Raises:
        ModelError: the model's answer moves in steps.
    """
    game.asked.require_gradient("gradient_shap")
    shap, start = _shap(), time.perf_counter()
    built: dict[int, tuple[_OneSample, Any]] = {}
    values = []
    with game.ticker.stage("gradient shap", len(game.samples)) as tick:
        for k in range(len(game.samples)):
            width, windows = int(game.width[k]), np.nan_to_num(game.beside(k))
            if width not in built:
                given = keras.Input(windows.shape[1:], dtype="float32")
                layer = _OneSample(game.asked, windows.shape[1:])
                model = keras.Model(
                    [given], layer(given)
                )  # a model: of tensors shap makes one of whichever Keras is loaded
                built[width] = layer, shap.GradientExplainer(model, windows, batch_size=draws)
            layer, explainer = built[width]
            layer.set(int(game.samples.lengths[k]), game.select[k], np.isnan(game.sample(k)))
            explainer.explainer.data = [windows]
            sample = np.nan_to_num(game.sample(k))[None]
            found = explainer.shap_values(sample, nsamples=draws, rseed=seed + k)
            values.append(np.asarray(found, np.float64).reshape(windows.shape[1:]))
            tick()
    seconds = time.perf_counter() - start
    return game.attribution(values, "gradient_shap", additive=False, draws=draws, seed=seed, seconds=seconds)


class _OneSample(keras.layers.Layer):
    """The number explained of one sample, whose length, missing values and class are variables."""

    def __init__(self, asked: ExplainedModel, shape: tuple[int, ...]) -> None:
        super().__init__(dtype="float32")
        self._asked = asked
        self._length = tf.Variable(0, dtype=tf.int32, trainable=False)
        self._select = tf.Variable(tf.zeros(asked.width), trainable=False)
        self._missing = tf.Variable(tf.zeros(shape, tf.bool), trainable=False)

    def set(self, length: int, select: NDArray[Any], missing: NDArray[Any]) -> None:
        self._length.assign(length)
        self._select.assign(select)
        self._missing.assign(missing)

    def call(self, values: Any) -> Any:
        values = tf.where(self._missing[None], np.float32(np.nan), values)
        lengths = tf.fill(tf.shape(values)[:1], self._length)
        outputs = self._asked.raw(self._asked.inputs(values, lengths))
        return self._asked.number(outputs, self._select[None])[:, None]

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], 1)


def tree(game: MaskedModel, *, model: Any) -> Attribution:
    """Interventional Tree SHAP (Lundberg et al., 2020) of the trees in the graph, on the features they read.

    A feature's part goes to the values it was computed from (``keras_seq.explain.tree_features``). Boosted
    classes of more than two are explained in log-odds, where their trees add; all else in the answer's own units.

    Args:
        game: samples, backgrounds and question.
        model: the fitted model as the bundle holds it.

    Raises:
        ModelError: not a model of one tree ensemble.
        ConfigError: log-odds of a model whose trees answer probabilities.
    """
    taken, shap, start = take_out(model), _shap(), time.perf_counter()
    link = taken.layer.link
    logit = game.asked.question.scale == "logit"
    if logit and link == "identity":
        raise ConfigError("Option '--scale logit': these trees add up probabilities; explain them on --scale output.")
    margin = link == "softmax" or (link == "sigmoid" and logit)
    values, base, answers = [], [], []
    with game.ticker.stage("tree", len(game.samples)) as tick:
        for k in range(len(game.samples)):
            found, start_at, answer = _tree_sample(game, k, taken, shap, probability=link == "sigmoid" and not logit)
            values.append(found)
            base.append(start_at)
            answers.append(answer)
            tick()
    seconds = time.perf_counter() - start
    made = game.attribution(values, "tree", additive=True, base=base, seconds=seconds, margin=margin)
    if not margin or link == "sigmoid":
        return made
    from dataclasses import replace

    return replace(
        made,
        predictions=np.array(answers),
        output=f"margin behind {made.output}",
        output_range=max(float(np.ptp([*answers, *base])), 1e-9),
    )


def tree_importance(trees: Any, rows: NDArray[Any]) -> NDArray[np.float64]:
    """Mean absolute SHAP value of each column, ``(columns,)``, in the margin of the trees; classes summed.

    Args:
        trees: fitted scikit-learn trees.
        rows: ``(rows, columns)`` to explain.
    """
    found = np.abs(np.asarray(_shap().TreeExplainer(trees).shap_values(rows, check_additivity=False), np.float64))
    return (found.sum(-1) if found.ndim == 3 else found).mean(0)


def _tree_sample(
    game: MaskedModel, k: int, taken: Any, shap: Any, *, probability: bool
) -> tuple[NDArray[np.float64], float, float]:
    """Attributions ``(width, features)``, base and answer of one sample."""
    length, known = int(game.samples.lengths[k]), game.known(k)
    windows = np.concatenate([game.sample(k)[None], game.beside(k)])
    lengths = np.full(len(windows), length, np.int32)
    table, level = taken.features(game.asked, windows, lengths)
    weights = np.asarray(game.select[k], np.float64)
    trees = taken.as_dict(weights)
    if probability:
        trees |= {"tree_output": "log_odds", "objective": "binary_crossentropy"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = shap.TreeExplainer(
            trees,
            data=table[1:],
            feature_perturbation="interventional",
            model_output="probability" if probability else "raw",
        )
        columns = np.asarray(explainer.shap_values(table[:1], check_additivity=False), np.float64).reshape(-1)
    base = float(np.ravel(explainer.expected_value)[0])
    answer = base + columns.sum()
    sample = game.sample(k)[:length]
    shares = sources(taken.layers, sample, known[:length])
    shares = shares[: len(columns)]
    found = np.zeros(known.shape)
    found[:length] = np.einsum("k,ktf->tf", columns[: len(shares)], shares)
    if level is not None:
        spec = game.asked.spec
        each = weights.reshape(spec.horizon, len(spec.targets)).sum(0)  # the level is the same at every step ahead
        change = (level[0] - level[1:].mean(0)).reshape(-1) * each
        base += float(level[1:].mean(0).reshape(-1) @ each)
        answer += float(level[0].reshape(-1) @ each)
        for part, feature in zip(change, spec.target_index, strict=True):
            seen = np.flatnonzero(known[:, feature])
            if len(seen):
                found[seen[-1], feature] += part
    return found, base, answer


def _grouped(game: MaskedModel, method: str, solve: Solve, blocks: int, **details: Any) -> Attribution:
    shap, start, values = _shap(), time.perf_counter(), []
    if details.get("evaluations", 1) < 1:
        raise ConfigError(f"'evaluations' is {details['evaluations']}; at least 1 set of groups is asked.")
    with game.ticker.stage(method, len(game.samples)) as tick:
        for k in range(len(game.samples)):
            players = make_players(game, k, blocks)
            if len(players) < 2:
                found = _alone(game, k, players)
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = solve(shap, _worth_of(game, k, players), len(players))
            values.append(players.spread(found))
            tick()
    seconds = time.perf_counter() - start
    return game.attribution(values, method, additive=True, blocks=blocks, seconds=seconds, **details)


def _alone(game: MaskedModel, k: int, players: FeatureGroups) -> NDArray[np.float64]:
    return np.full(len(players), game.predictions[k] - game.base[k])


def _worth_of(game: MaskedModel, k: int, players: FeatureGroups) -> Callable[[Any], NDArray[np.float64]]:
    """Worth of rows of 0 and 1 ``(sets, players)``."""
    return lambda rows: game.worth(k, players.present(np.asarray(rows) > 0.5))


def _sensor_tree(players: FeatureGroups) -> NDArray[np.float64]:
    """Linkage in scipy's form: blocks of a sensor first, then the sensors."""
    merges: list[list[float]] = []
    number = len(players)
    size = dict.fromkeys(range(number), 1)

    def merge(parts: list[int], height: float) -> int:
        nonlocal number
        while len(parts) > 1:  # halves, so that the tree is as flat as can be
            one, other, *rest = parts
            size[number] = size[one] + size[other]
            merges.append([one, other, height + len(merges) * 1e-6, size[number]])
            parts = [*rest, number]
            number += 1
        return parts[0]

    sensors = [merge(np.flatnonzero(players.feature == f).tolist(), 1.0) for f in np.unique(players.feature)]
    merge(sensors, 2.0)
    return np.array(merges, np.float64)
