"""Ranking of input channels by trees or mutual information, on training units only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError, nearest
from keras_seq.selection.candidate_features import FeatureTable, probe_name

Scores = dict[str, float]
REPEATS = 2  # permutations of a channel in each inner fold
MOST_EXPLAINED = 500  # held-out samples of an inner fold
MOST_PAIRED = 2000  # samples of mutual information, whose neighbour search grows fast
PROBES = 20  # noise channels over all draws, at least: where the best of them ranks, chance ends
DRAWS = (3, 8)  # fewest and most draws of as many noise channels as there are channels
FEW = 4000  # samples up to which one thread is faster
DROP = 0.2  # share of channels that leave in one round of elimination


def permutation(table: FeatureTable, channels: Sequence[str], seed: int) -> tuple[Scores, float]:
    """Loss of skill when a channel's columns are shuffled together among held-out inner units (Breiman 2001).

    Returns:
        Channel to mean loss of skill, and the skill with all channels: share of variance explained, or of the log
        loss of the class shares saved; 1 is perfect, 0 what no input gives.
    """
    rng = np.random.default_rng(seed)
    chosen = table.of(set(channels))
    losses: dict[str, list[float]] = {channel: [] for channel in channels}
    skills = []
    for fold in np.unique(table.folds):
        out = table.folds == fold
        skill = _fitted_skill(table, chosen, ~out, seed)
        rows, truth = table.columns[out][:, chosen], table.target[out]
        full = skill(rows, truth)
        skills.append(full)
        for channel in channels:
            places = table.owned_by(channel, chosen)
            for _ in range(REPEATS if len(places) else 0):
                shuffled = rows.copy()
                shuffled[:, places] = rows[rng.permutation(len(rows))][:, places]
                losses[channel].append(full - skill(shuffled, truth))
    return {channel: float(np.mean(drops or [0.0])) for channel, drops in losses.items()}, float(np.mean(skills))


def importance(table: FeatureTable, channels: Sequence[str], seed: int) -> tuple[Scores, float]:
    """Impurity decrease in extremely random trees, summed over a channel's columns (Louppe et al. 2013)."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesClassifier if table.classes else ExtraTreesRegressor
    chosen = table.of(set(channels))
    model = kind(200, max_features=0.3, min_samples_leaf=5, random_state=seed)
    weight = model.fit(table.columns[:, chosen], table.target).feature_importances_
    return {channel: float(weight[table.owned_by(channel, chosen)].sum()) for channel in channels}, float("nan")


def mutual_information(table: FeatureTable, channels: Sequence[str], seed: int) -> tuple[Scores, float]:
    """Largest mutual information with the target among a channel's own columns, nats (Kraskov et al. 2004)."""
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    rng = np.random.default_rng(seed)
    rows = np.arange(len(table.target))
    rows = rows if len(rows) <= MOST_PAIRED else rng.choice(rows, MOST_PAIRED, replace=False)
    estimate = mutual_info_classif if table.classes else mutual_info_regression
    chosen = np.array([i for i, owner in enumerate(table.owners) if len(owner) == 1 and owner[0] in set(channels)])
    information = estimate(table.columns[rows][:, chosen], table.target[rows], random_state=seed)
    return {c: float(information[table.owned_by(c, chosen)].max(initial=0.0)) for c in channels}, float("nan")


def shap(table: FeatureTable, channels: Sequence[str], seed: int) -> tuple[Scores, float]:
    """Mean absolute SHAP value of boosted trees on held-out inner units, a channel's columns summed (Lundberg 2020).

    Unlike a permutation it is not shared out by chance among channels that say the same.
    """
    from keras_seq.explain.methods.shap_values import tree_importance

    rng = np.random.default_rng(seed)
    chosen = table.of(set(channels))
    weights = []
    for fold in np.unique(table.folds):
        out = np.flatnonzero(table.folds == fold)
        out = out if len(out) <= MOST_EXPLAINED else rng.choice(out, MOST_EXPLAINED, replace=False)
        trees = _fitted(table, chosen, table.folds != fold, seed)
        weight = tree_importance(trees, table.columns[out][:, chosen])
        weights.append([weight[table.owned_by(channel, chosen)].sum() for channel in channels])
    return dict(zip(channels, np.mean(weights, axis=0).tolist(), strict=True)), float("nan")


Scorer = Callable[[FeatureTable, Sequence[str], int], tuple[Scores, float]]
SCORERS: dict[str, Scorer] = {
    "permutation": permutation,
    "importance": importance,
    "mutual_information": mutual_information,
    "shap": shap,
}
METHODS = ("permutation", "mutual_information", "recursive", "importance", "shap", "none")


def select(
    table: FeatureTable,
    channels: Sequence[str],
    *,
    method: str,
    keep: int = 0,
    always: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Choose input channels.

    - permutation, importance, mutual_information, shap: one ranking; ``keep`` best, or with 0 those above every noise
      channel of several draws;
    - recursive: the weakest fifth by permutation leaves round by round (Guyon et al. 2002); ``keep`` says when to
      stop, with 0 the round of best skill wins (the fewest channels within a hundredth of it), and of it those above
      every noise channel;
    - none: all.

    Args:
        table: of the training part.
        channels: candidates.
        method: see ``METHODS``.
        keep: how many; 0: found.
        always: channels that stay whatever their score.
        seed: of trees and shuffles.

    Returns:
        ``{"features": [...], "scores": {...}, "history": [{"round", "features", "scores", "skill"}]}``, features in
        the order of ``channels``; with ``keep`` 0 also ``"noise": {"draws", "probes", "scores", "limit",
        "expected_false"}``, the last the number of channels that chance alone would let pass.

    Raises:
        ConfigError: an unknown method, or more channels wanted than there are.
    """
    if method not in METHODS:
        raise ConfigError(f"--method: there is no selection '{method}'{nearest(method, METHODS)}")
    if keep < 0 or keep > len(channels):
        raise ConfigError(f"--keep must lie between 0 and the {len(channels)} features there are, got {keep}.")
    if method == "none":
        return {"features": list(channels), "scores": {}, "history": []}
    with _few_threads(len(table.target)):
        return _select(table, channels, method, keep, always, seed)


def _few_threads(samples: int) -> Any:
    """One thread for small trees: handing them round costs more than growing them."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1 if samples <= FEW else None, user_api="openmp")


def _select(
    table: FeatureTable, channels: Sequence[str], method: str, keep: int, always: Sequence[str], seed: int
) -> dict[str, Any]:
    if method == "recursive":
        history = _eliminate(table, channels, keep, always, seed)
        best = _best_round(history, keep)
        chosen, scores = set(best["features"]), history[0]["scores"]
        means, _, noise = _against_noise(table, best["features"], permutation, seed) if not keep else ({}, 0.0, {})
        ranked = sorted(best["features"], key=lambda c: -means.get(c, 0.0))
        chosen = {c for c in chosen if keep or means[c] > noise["limit"]}
    elif keep:
        scores, skill = SCORERS[method](table, channels, seed)
        history = [{"round": 1, "features": list(channels), "scores": scores, "skill": skill}]
        ranked, noise = sorted(channels, key=lambda c: -scores[c]), {}
        chosen = set(ranked[:keep])
    else:
        scores, skill, noise = _against_noise(table, channels, SCORERS[method], seed)
        history = [{"round": 1, "features": list(channels), "scores": scores, "skill": skill}]
        ranked = sorted(channels, key=lambda c: -scores[c])
        chosen = {c for c in channels if scores[c] > noise["limit"]}
    chosen = (chosen or {ranked[0]}) | set(always)
    selection = {"features": [c for c in channels if c in chosen], "scores": scores, "history": history}
    return selection | ({"noise": noise} if noise else {})


def _against_noise(
    table: FeatureTable, channels: Sequence[str], scorer: Scorer, seed: int
) -> tuple[Scores, float, dict[str, Any]]:
    """Scores of channels beside noise that went through the same columns, means over the draws; skill; the noise.

    Returns:
        Channel to mean score, mean skill, and what the noise scored: a channel passes above the best of all draws.
    """
    draws = int(np.clip(-(-PROBES // len(channels)), *DRAWS))
    probes = [probe_name(channel) for channel in channels]
    scored, skills, noise = list[Scores](), list[float](), list[float]()
    for draw in range(draws):
        scores, skill = scorer(table.shadowed(seed + draw), [*channels, *probes], seed + draw)
        scored.append({channel: scores[channel] for channel in channels})
        skills.append(skill)
        noise += [scores[probe] for probe in probes]
    means = {channel: float(np.mean([scores[channel] for scores in scored])) for channel in channels}
    about = {
        "draws": draws,
        "probes": len(probes),
        "scores": noise,
        "limit": max(*noise, 0.0),
        "expected_false": len(channels) / (len(noise) + 1),
    }
    return means, float(np.mean(skills)), about


def _eliminate(
    table: FeatureTable, channels: Sequence[str], keep: int, always: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    """Rounds of backward elimination, the whole set first."""
    left, history = list(channels), list[dict[str, Any]]()
    least = max(keep, 1, len(always))
    while True:
        scores, skill = permutation(table, left, seed)
        history.append({"round": len(history) + 1, "features": list(left), "scores": scores, "skill": skill})
        free = sorted((c for c in left if c not in always), key=lambda c: scores[c])
        count = min(max(1, int(DROP * len(left))), len(left) - least, len(free))
        if count < 1:
            return history
        left = [c for c in left if c not in free[:count]]


def _best_round(history: Sequence[dict[str, Any]], keep: int) -> dict[str, Any]:
    if keep:
        return history[-1]
    best = max(row["skill"] for row in history)
    return [row for row in history if row["skill"] >= best - 0.01 * abs(best)][-1]


def _fitted(table: FeatureTable, chosen: NDArray[np.int64], inside: NDArray[np.bool_], seed: int) -> Any:
    """Boosted trees on some samples."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if table.classes else HistGradientBoostingRegressor
    settings: dict[str, Any] = {"max_iter": 60, "learning_rate": 0.1, "max_leaf_nodes": 12, "max_bins": 63}
    model = kind(**settings, early_stopping=False, random_state=seed)
    return model.fit(table.columns[inside][:, chosen], table.target[inside])


def _fitted_skill(
    table: FeatureTable, chosen: NDArray[np.int64], inside: NDArray[np.bool_], seed: int
) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    """Boosted trees on some samples, as a function from others to their skill there."""
    model = _fitted(table, chosen, inside, seed)
    if not table.classes:
        mean = float(table.target[inside].mean())

        def explained(rows: NDArray[Any], truth: NDArray[Any]) -> float:
            spread = float(np.mean((truth - mean) ** 2))
            return 1 - float(np.mean((model.predict(rows) - truth) ** 2)) / spread if spread > 0 else 0.0

        return explained
    shares = np.bincount(np.searchsorted(model.classes_, table.target[inside])) / inside.sum()

    def saved(rows: NDArray[Any], truth: NDArray[Any]) -> float:
        known = np.isin(truth, model.classes_)
        place = np.searchsorted(model.classes_, truth[known])
        own = np.clip(model.predict_proba(rows[known])[np.arange(len(place)), place], 1e-7, 1)
        plain = float(-np.mean(np.log(np.clip(shares[place], 1e-7, 1)))) if len(place) else 0.0
        return 1 - float(-np.mean(np.log(own))) / plain if plain > 0 else 0.0

    return saved
