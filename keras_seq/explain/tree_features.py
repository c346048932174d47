"""From the features that trees read back to sensors and steps: which values of a window each feature is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.features.window_settings import LAGS, MOST_PAIRED, QUANTILES, RECENT_LAGS, SEGMENTS, THRESHOLDS
from keras_seq.models.history import History
from keras_seq.models.window_features import RecentFeatures, WindowFeatures
from keras_seq.models.words import ExpandWords, WordChannels

RECENT = 5  # steps of the short mean in RecentFeatures

Share = tuple[int, NDArray[np.float64]]  # a feature and the weights of its steps


def sources(layers: list[Any], sample: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Shares of the values of a sample in every feature.

    Args:
        layers: of the model.
        sample: ``(length, features)`` real steps in raw units.
        known: where it has values.

    Returns:
        ``(columns, length, features)``, summing to 1 in every column that comes from a sensor, 0 for the length and
        the elapsed time, which are the same in the backgrounds and so get nothing. Missing values hand their share
        to the observation before them.
    """
    length, features = sample.shape
    window = next((layer for layer in layers if isinstance(layer, WindowFeatures)), None)
    history = next((layer for layer in layers if isinstance(layer, History)), None)
    owners = _owners(layers, features)
    if window is not None:
        columns = _window(*_with_words(sample, known, layers))
    elif any(isinstance(layer, RecentFeatures) for layer in layers):
        columns = _recent(length, len(owners))
    else:
        columns = _history(history.config if history else None, length, features, len(owners))
    shares_by_column = np.zeros((len(columns), length, features))
    for row, shares in zip(shares_by_column, columns, strict=True):
        for feature, weights in shares:
            own = owners[feature]
            row[:, own] += _observed(weights, known[:, own]) / len(shares)
    return shares_by_column


def _coded(layers: list[Any]) -> WordChannels | None:
    """Channels of words that a model reads."""
    coded = (layer.channels if isinstance(layer, ExpandWords) else getattr(layer, "coded", None) for layer in layers)
    return next((channels for channels in coded if channels is not None), None)


def _owners(layers: list[Any], features: int) -> list[int]:
    """Feature of each channel: the signals, channels of words, indicators of missing values."""
    coded = _coded(layers)
    doubled = any(getattr(layer, "missing_indicator", False) for layer in layers)
    return [*range(features), *(coded.owners if coded else []), *(range(features) if doubled else [])]


def _with_words(
    sample: NDArray[np.float32], known: NDArray[np.bool_], layers: list[Any]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A window as ``WindowFeatures`` takes it, and what of it was observed."""
    coded = _coded(layers)
    if coded is None:
        return sample, known
    channels = [np.asarray(part) for part in coded(np.nan_to_num(sample))]
    numbers = np.where(coded.numbers > 0, sample, np.float32(0.0))
    known = known | (coded.numbers == 0)
    return np.concatenate([numbers, *channels], axis=1), known[:, [*range(sample.shape[1]), *coded.owners]]


def _even(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    return inside / max(inside.sum(), 1)


def _step(length: int, step: int) -> NDArray[np.float64]:
    return np.eye(length)[min(max(step, 0), length - 1)]


def _window(sample: NDArray[np.float32], known: NDArray[np.bool_]) -> list[list[Share]]:
    """Columns of ``WindowFeatures`` in its order."""
    length, features = sample.shape
    names = range(features)
    whole = [_even(known[:, f]) for f in names]
    low = np.where(known, sample, np.inf).argmin(0)
    high = np.where(known, sample, -np.inf).argmax(0)
    last = [int(np.flatnonzero(known[:, f])[-1]) if known[:, f].any() else length - 1 for f in names]

    def each(weights: Callable[..., NDArray[np.float64]]) -> list[list[Share]]:
        return [[(f, weights(f))] for f in names]

    columns = [*each(lambda f: whole[f]), *each(lambda f: whole[f])]  # mean, deviation
    columns += each(lambda f: _step(length, last[f]))
    for place in (low, high, low, high):  # least, largest, and where they are
        columns += each(lambda f, place=place: _step(length, int(place[f])))
    for _ in range(len(QUANTILES) + 1):  # quantiles, slope
        columns += each(lambda f: whole[f])
    segment = np.arange(length) * SEGMENTS // max(length, 1)
    for s in range(SEGMENTS):
        columns += each(lambda f, s=s: _even((segment == s) & known[:, f]))
    for s in range(SEGMENTS - 1):
        columns += each(lambda f, s=s: _even(np.isin(segment, (s, s + 1)) & known[:, f]))
    for _ in range(2 + len(THRESHOLDS)):
        columns += each(lambda f: whole[f])
    paired = range(min(features, MOST_PAIRED))
    for lag in (0, *LAGS):
        columns += [[(a, whole[a]), (b, whole[b])] for a in paired for b in paired]
        if lag and features > MOST_PAIRED:
            columns += each(lambda f: whole[f])
    return [*columns, []]  # the length; the caller cuts it where it is not used


def _recent(length: int, channels: int) -> list[list[Share]]:
    """Columns of ``RecentFeatures``."""
    features = range(channels)
    last = _step(length, length - 1)
    whole, short = np.full(length, 1.0 / length), _even(np.arange(length) >= length - RECENT)
    shapes = [last, *((last + _step(length, length - 1 - lag)) / 2 for lag in RECENT_LAGS)]
    shapes += [short, whole, whole, whole]
    return [[(f, shape)] for shape in shapes for f in features]


def _history(config: Any, length: int, features: int, channels: int) -> list[list[Share]]:
    """Columns of scaled channels and ``History`` at the last step."""
    last = _step(length, length - 1)
    columns: list[list[Share]] = [[(f, last)] for f in range(channels)]
    if config is None:
        return columns
    age = np.arange(length)[::-1]

    def each(weights: NDArray[np.float64]) -> list[list[Share]]:
        return [[(f, weights)] for f in range(features)]

    smooth = []
    for decay in config.ewm:
        weights = (1.0 - decay) * float(decay) ** age
        weights[0] = float(decay) ** (length - 1)
        smooth.append(weights / weights.sum())
        columns += each(smooth[-1])
    if config.running_mean:
        columns += each(np.full(length, 1.0 / length))
    if config.baseline:
        early = _even(np.arange(length) < config.baseline)
        columns += each(((smooth[0] if smooth else last) + early) / 2)
    for steps in config.means:
        columns += each(_even(np.arange(length) >= length - steps))
    return [*columns, *([[]] if config.elapsed else [])]


def _observed(weights: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights moved from missing steps to the observation before them (after them at the start)."""
    if known.all():
        return weights
    if not known.any():
        return np.zeros_like(weights)
    steps = np.flatnonzero(known)
    before = np.maximum(np.searchsorted(steps, np.arange(len(weights)), side="right") - 1, 0)
    return np.bincount(steps[before], weights, minlength=len(weights)).astype(np.float64)
