"""Attributions as tables: sensors, steps, sensor x lag, dependence, interactions, and the largest single values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.words import OTHER
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.faithfulness import spearman
from keras_seq.explain.masked_model import MaskedModel

WORD = "word"  # in place of a unit, of columns of words
LAG_BINS = 20  # of the sensor x lag map
LARGEST = 50  # values of a sample in the table of attributions


def sensors(attribution: Attribution, values: NDArray[Any] | None = None) -> list[dict[str, Any]]:
    """Features ranked by mean ``|attribution|`` of a sample.

    Args:
        attribution: attributions.
        values: of the samples ``(samples, time, features)`` raw; gives the direction: the rank correlation of a
            sample's mean value with its attribution (NaN below 5 samples).

    Returns:
        A row a feature; none of a method that does not tell sensors apart.
    """
    if not attribution.by_sensor:
        return []
    by_sample, importance = attribution.by_feature(), attribution.importance()
    total = max(float(importance.sum()), 1e-12)
    rows = []
    for rank, f in enumerate(np.argsort(-importance, kind="stable"), 1):
        direction = float("nan")
        if values is not None and len(attribution) >= 5 and attribution.units[f] != WORD:
            direction = spearman(mean_values(attribution, values)[:, f], by_sample[:, f])
        rows.append(
            {
                "method": attribution.method,
                "feature": attribution.features[f],
                "unit": attribution.units[f],
                "importance": float(importance[f]),
                "share": float(importance[f]) / total,
                "direction": direction,
                "rank": rank,
            }
        )
    return rows


def words(
    attribution: Attribution, values: NDArray[Any], vocabularies: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """What each word does: steps of the samples that hold it, and their mean attribution; the strongest first."""
    rows = []
    for f, name in enumerate(attribution.features):
        if not attribution.by_sensor or name not in vocabularies:
            continue
        real = attribution.real()
        codes = np.nan_to_num(values[:, : real.shape[1], f][real]).astype(np.int64)
        effects = attribution.values[:, :, f][real].astype(np.float64)
        for code in np.unique(codes):
            chosen = codes == code
            word = vocabularies[name][code - 1] if 0 < code <= len(vocabularies[name]) else OTHER
            effect = float(effects[chosen].mean())
            rows.append({"feature": name, "word": word, "steps": int(chosen.sum()), "effect": effect})
    return sorted(rows, key=lambda row: -abs(row["effect"]))


def mean_values(attribution: Attribution, values: NDArray[Any]) -> NDArray[np.float64]:
    """Mean of the last tenth of each sample's real steps ``(samples, features)``: how high a sensor stands now."""
    rows = np.full((len(attribution), values.shape[2]), np.nan)
    for row, one, length in zip(rows, values, attribution.lengths, strict=True):
        recent = one[max(0, length - max(length // 10, 1)) : length]
        seen = np.isfinite(recent)
        total = np.where(seen, recent, 0).sum(0, dtype=np.float64)
        row[:] = np.where(seen.any(0), total / np.maximum(seen.sum(0), 1), np.nan)
    return np.where(np.isfinite(rows), rows, np.nan_to_num(np.nanmean(rows, axis=0)) if len(rows) else 0.0)


def steps(attribution: Attribution) -> list[dict[str, Any]]:
    """Lags (steps before the last one) ranked by mean ``|attribution|`` of all sensors together."""
    importance = lag_importance(attribution).sum(1)
    total = max(float(importance.sum()), 1e-12)
    order = np.argsort(-importance, kind="stable")
    return [
        {
            "method": attribution.method,
            "lag": int(lag),
            "importance": float(importance[lag]),
            "share": float(importance[lag]) / total,
            "rank": rank,
        }
        for rank, lag in enumerate(order, 1)
    ]


def lag_importance(attribution: Attribution) -> NDArray[np.float64]:
    """Mean over samples of ``|attribution|``, ``(lags, features)``; a sample counts 0 before its start."""
    return np.abs(np.nan_to_num(attribution.by_lag())).mean(axis=0, dtype=np.float64)


def lag_edges(lags: int, bins: int = LAG_BINS) -> NDArray[np.int64]:
    """Borders of equal bins of lags, fewer where there are few lags."""
    return np.unique(np.linspace(0, lags, min(bins, lags) + 1).round().astype(np.int64))


def heatmap(attribution: Attribution, bins: int = LAG_BINS) -> list[dict[str, Any]]:
    """Sensor x bin of lags: mean ``|attribution|`` and signed mean, summed over the bin's steps."""
    by_lag = np.nan_to_num(attribution.by_lag())
    rows = []
    for low, high in pairwise(lag_edges(by_lag.shape[1], bins)):
        part = by_lag[:, low:high].sum(1, dtype=np.float64)
        for f, name in enumerate(attribution.features):
            rows.append(
                {
                    "method": attribution.method,
                    "feature": name,
                    "lag_from": int(low),
                    "lag_to": int(high) - 1,
                    "importance": float(np.abs(part[:, f]).mean()),
                    "mean": float(part[:, f].mean()),
                }
            )
    return rows


def largest(attribution: Attribution, most: int = LARGEST) -> list[dict[str, Any]]:
    """The largest single values of every sample: sample, feature, time (step from the start), value, method, rank."""
    rows = []
    for k, name in enumerate(attribution.samples):
        flat = np.abs(attribution.values[k]).ravel()
        order = np.argsort(-flat, kind="stable")[:most]
        for rank, at in enumerate(order[flat[order] > 0], 1):
            step, f = divmod(int(at), attribution.values.shape[2])
            rows.append(
                {
                    "method": attribution.method,
                    "sample": k,
                    "unit_id": name,
                    "feature": attribution.features[f],
                    "time": step,
                    "value": float(attribution.values[k, step, f]),
                    "rank": rank,
                }
            )
    return rows


def interactions(
    masked: MaskedModel, attribution: Attribution, *, top: int = 5, samples: int = 20, backgrounds: int = 10
) -> list[dict]:
    """How much pairs of the top sensors tell beyond what each tells alone.

    ``v(all) - v(without a) - v(without b) + v(without both)``, mean of its size over the samples: 0 where the
    sensors' effects simply add up.
    """
    names = [row["feature"] for row in sensors(attribution)[:top] if row["importance"] > 0]
    columns = [attribution.features.index(name) for name in names]
    pairs = list(combinations(range(len(columns)), 2))
    numbers = np.unique(np.linspace(0, len(masked.samples) - 1, min(samples, len(masked.samples))).astype(int))
    strength = np.zeros((len(numbers), len(pairs)))
    for row, k in zip(strength, numbers, strict=True):
        known = masked.known(int(k))

        def without(*gone: int, known: NDArray[np.bool_] = known) -> NDArray[np.bool_]:
            present = np.ones_like(known)
            present[:, list(gone)] = False
            return present

        alone = [without(column) for column in columns]
        both = [without(columns[a], columns[b]) for a, b in pairs]
        if not pairs:
            continue
        answers = masked.mean_answers(int(k), np.stack([np.ones_like(known), *alone, *both]), most=backgrounds)
        for place, (a, b) in enumerate(pairs):
            row[place] = answers[0] - answers[1 + a] - answers[1 + b] + answers[1 + len(alone) + place]
    rows = [
        {"feature": names[a], "other": names[b], "strength": float(np.abs(strength[:, i]).mean())}
        for i, (a, b) in enumerate(pairs)
    ]
    return sorted(rows, key=lambda one: -one["strength"])
