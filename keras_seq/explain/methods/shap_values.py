"""Methods of shap on the masked model. The only module that imports shap; ``DeepExplainer`` is never called.

Kernel, permutation and partition explainers see groups (sensor, time block) that are known or unknown; the value of a
set is the mean answer over the sample's backgrounds (``keras_seq.explain.masked_model``), so they explain what
integrated gradients explain and add up to the same difference.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_seq.errors import ConfigError
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.feature_groups import BLOCKS, FeatureGroups, make_groups
from keras_seq.explain.registry import needs_gradient, register

if TYPE_CHECKING:
    import keras

    from keras_seq.explain.explained_model import ExplainedModel
    from keras_seq.explain.masked_model import MaskedModel
    from keras_seq.explain.single_sample import SingleSample
    from keras_seq.explain.trees import TakenOut

EVALUATIONS = 500  # sets of groups a sample

Answer = Callable[[ArrayLike], NDArray[np.float64]]  # of rows of 0 and 1 ``(sets, groups)``
Solve = Callable[[ModuleType, Answer, FeatureGroups], ArrayLike]


def _shap() -> ModuleType:
    try:
        import shap
    except ImportError:
        raise ConfigError(
            "This method needs the package shap, which is not installed; install it with 'pip install shap', or use "
            "--methods integrated_gradients."
        ) from None
    return shap


@register(rank=5)
def kernel(masked: MaskedModel, *, blocks: int = BLOCKS, evaluations: int = EVALUATIONS, seed: int = 0) -> Attribution:
    """Kernel SHAP (Lundberg and Lee, 2017) over groups.

    Args:
        masked: samples, backgrounds and model.
        blocks: of time.
        evaluations: sets of groups a sample, each over all backgrounds.
        seed: of the sets.
    """

    def solve(shap: ModuleType, answer: Answer, groups: FeatureGroups) -> ArrayLike:
        np.random.seed(seed)
        explainer = shap.KernelExplainer(answer, np.zeros((1, len(groups))))
        return explainer.shap_values(np.ones((1, len(groups))), nsamples=evaluations, l1_reg=0, silent=True)

    return _grouped(masked, "kernel", solve, blocks, evaluations=evaluations, seed=seed)


@register(rank=6, main=3)
def permutation(
    masked: MaskedModel, *, blocks: int = BLOCKS, evaluations: int = EVALUATIONS, seed: int = 0
) -> Attribution:
    """Shapley values by walking random orders of the groups forwards and backwards (shap's PermutationExplainer)."""

    def solve(shap: ModuleType, answer: Answer, groups: FeatureGroups) -> ArrayLike:
        explainer = shap.PermutationExplainer(answer, np.zeros((1, len(groups))), seed=seed)
        most = max(evaluations, 2 * len(groups) + 1)
        return explainer(np.ones((1, len(groups))), max_evals=most, silent=True).values

    return _grouped(masked, "permutation", solve, blocks, evaluations=evaluations, seed=seed)


@register(rank=7)
def partition(
    masked: MaskedModel, *, blocks: int = BLOCKS, evaluations: int = EVALUATIONS, seed: int = 0
) -> Attribution:
    """Owen values down a tree: all, then sensors, then blocks of time within a sensor (shap's PartitionExplainer)."""

    def solve(shap: ModuleType, answer: Answer, groups: FeatureGroups) -> ArrayLike:
        masker = shap.maskers.Partition(np.zeros((1, len(groups))), clustering=_sensor_tree(groups))
        explainer = shap.PartitionExplainer(answer, masker)
        return explainer(np.ones((1, len(groups))), max_evals=evaluations, silent=True).values

    return _grouped(masked, "partition", solve, blocks, evaluations=evaluations, seed=seed)


@register(check=needs_gradient, rank=4)
def gradient_shap(masked: MaskedModel, *, draws: int = 200, seed: int = 0) -> Attribution:
    """Shap's GradientExplainer: expected gradients from ``draws`` random places. Adds up on average only.

    Raises:
        ModelError: the model's answer moves in steps.
    """
    import keras

    from keras_seq.explain.single_sample import SingleSample

    masked.explained.require_gradient("gradient_shap")
    shap = _shap()
    built: dict[int, tuple[SingleSample, Any]] = {}

    def explain(k: int) -> NDArray[np.float64]:
        width, windows = int(masked.width[k]), np.nan_to_num(masked.beside(k))
        if width not in built:
            tensor = keras.Input(windows.shape[1:], dtype="float32")
            layer = SingleSample(masked.explained, windows.shape[1:])
            model = keras.Model([tensor], layer(tensor))  # of tensors shap makes one of whichever Keras is loaded
            built[width] = layer, shap.GradientExplainer(model, windows, batch_size=draws)
        layer, explainer = built[width]
        layer.set(int(masked.samples.lengths[k]), masked.select[k], np.isnan(masked.sample(k)))
        explainer.explainer.data = [windows]
        shares = explainer.shap_values(np.nan_to_num(masked.sample(k))[None], nsamples=draws, rseed=seed + k)
        return np.asarray(shares, np.float64).reshape(windows.shape[1:])

    return masked.attribute_each("gradient_shap", explain, additive=False, draws=draws, seed=seed)


def _has_trees(name: str, explained: ExplainedModel, model: keras.Model) -> None:
    from keras_seq.explain.trees import take_out

    take_out(model)


@register(check=_has_trees, rank=8, main=2)
def tree(masked: MaskedModel, *, model: keras.Model) -> Attribution:
    """Interventional Tree SHAP (Lundberg et al., 2020) of the trees in the graph, on the features they read.

    A feature's part goes to the values it was computed from (``keras_seq.explain.tree_features``). Boosted
    classes of more than two are explained in log-odds, where their trees add; all else in the answer's own units.

    Args:
        masked: samples, backgrounds and model.
        model: the fitted model as the bundle holds it.

    Raises:
        ModelError: not a model of one tree ensemble.
        ConfigError: log-odds of a model whose trees answer probabilities.
    """
    from keras_seq.explain.trees import take_out

    taken, shap, start = take_out(model), _shap(), time.perf_counter()
    link = taken.layer.link
    logit = masked.explained.target.scale == "logit"
    if logit and link == "identity":
        raise ConfigError("Option '--scale logit': these trees add up probabilities; explain them on --scale output.")
    margin = link == "softmax" or (link == "sigmoid" and logit)
    values, base, answers = [], [], []
    with masked.ticker.stage("tree", len(masked.samples)) as tick:
        for k in range(len(masked.samples)):
            shares, start_at, answer = _tree_sample(masked, k, taken, shap, probability=link == "sigmoid" and not logit)
            values.append(shares)
            base.append(start_at)
            answers.append(answer)
            tick()
    seconds = time.perf_counter() - start
    attribution = masked.attribution(values, "tree", additive=True, base=base, seconds=seconds, margin=margin)
    if not margin or link == "sigmoid":
        return attribution
    from dataclasses import replace

    return replace(
        attribution,
        predictions=np.array(answers),
        output=f"margin behind {attribution.output}",
        output_range=max(float(np.ptp([*answers, *base])), 1e-9),
    )


def tree_importance(trees: Any, rows: NDArray[Any]) -> NDArray[np.float64]:
    """Mean absolute SHAP value of each column, ``(columns,)``, in the margin of the trees; classes summed.

    Args:
        trees: fitted scikit-learn trees.
        rows: ``(rows, columns)`` to explain.
    """
    shares = np.abs(np.asarray(_shap().TreeExplainer(trees).shap_values(rows, check_additivity=False), np.float64))
    return (shares.sum(-1) if shares.ndim == 3 else shares).mean(0)


def _tree_sample(
    masked: MaskedModel, k: int, taken: TakenOut, shap: ModuleType, *, probability: bool
) -> tuple[NDArray[np.float64], float, float]:
    """Attributions ``(width, features)``, base and answer of one sample."""
    from keras_seq.explain.tree_features import sources

    length, known = int(masked.samples.lengths[k]), masked.known(k)
    windows = np.concatenate([masked.sample(k)[None], masked.beside(k)])
    lengths = np.full(len(windows), length, np.int32)
    table, level = taken.features(masked.explained, windows, lengths)
    weights = np.asarray(masked.select[k], np.float64)
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
    sample = masked.sample(k)[:length]
    shares = sources(taken.layers, sample, known[:length])
    shares = shares[: len(columns)]
    spread = np.zeros(known.shape)
    spread[:length] = np.einsum("k,ktf->tf", columns[: len(shares)], shares)
    if level is not None:
        spec = masked.explained.spec
        each = weights.reshape(spec.horizon, len(spec.targets)).sum(0)  # the level is the same at every step ahead
        change = (level[0] - level[1:].mean(0)).reshape(-1) * each
        base += float(level[1:].mean(0).reshape(-1) @ each)
        answer += float(level[0].reshape(-1) @ each)
        for part, feature in zip(change, spec.target_index, strict=True):
            seen = np.flatnonzero(known[:, feature])
            if len(seen):
                spread[seen[-1], feature] += part
    return spread, base, answer


def _grouped(masked: MaskedModel, method: str, solve: Solve, blocks: int, **details: int) -> Attribution:
    """Attributions of groups by one of shap's explainers; a single group gets the whole difference."""
    shap = _shap()
    if details.get("evaluations", 1) < 1:
        raise ConfigError(f"'evaluations' is {details['evaluations']}; at least 1 set of groups is asked.")

    def explain(k: int) -> NDArray[np.float64]:
        groups = make_groups(masked, k, blocks)
        if len(groups) < 2:
            return groups.spread(np.full(len(groups), masked.predictions[k] - masked.base[k]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shares = solve(shap, lambda rows: masked.mean_answers(k, groups.present(np.asarray(rows) > 0.5)), groups)
        return groups.spread(np.asarray(shares, np.float64).reshape(-1))

    return masked.attribute_each(method, explain, additive=True, blocks=blocks, **details)


def _sensor_tree(groups: FeatureGroups) -> NDArray[np.float64]:
    """Linkage in scipy's form: blocks of a sensor first, then the sensors."""
    merges: list[list[float]] = []
    number = len(groups)
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

    sensors = [merge(np.flatnonzero(groups.feature == f).tolist(), 1.0) for f in np.unique(groups.feature)]
    merge(sensors, 2.0)
    return np.array(merges, np.float64)
