"""Evolution of an answer and its attributions: the same explanation after every few steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.series import Series
from keras_seq.explain.feature_groups import make_groups
from keras_seq.explain.masked_model import MaskedModel
from keras_seq.explain.methods.gradients import integrated_gradients
from keras_seq.explain.samples import Samples

POINTS = 12  # moments looked at
BACKGROUNDS = 10  # laid beside every moment


@dataclass(frozen=True)
class AttributionEvolution:
    """One sample over time.

    Attributes:
        sample: its name.
        steps: steps that had arrived ``(points,)``.
        predictions: answers then ``(points,)``.
        base: answers to the backgrounds then ``(points,)``.
        parts: attribution by sensor ``(points, features)``.
        features: names.
        output: what is explained.
        unit: its unit.
    """

    sample: str
    steps: NDArray[np.int64]
    predictions: NDArray[np.float64]
    base: NDArray[np.float64]
    parts: NDArray[np.float64]
    features: tuple[str, ...]
    output: str
    unit: str


def evolve(
    masked: MaskedModel, k: int, series: Series | None = None, *, points: int = POINTS
) -> AttributionEvolution | None:
    """Explain sample ``k`` at several moments.

    Models of variable length see its beginning, longer and longer; models of fixed windows see the unit's windows
    that end at earlier rows, for which the series is needed.

    Returns:
        None where there is nothing before the sample's last step.
    """
    moments = _moments(masked, k, series, points)
    if moments is None:
        return None
    samples, steps = moments
    background = replace(masked.background, count=min(masked.background.count, BACKGROUNDS))
    select = np.repeat(masked.select[k : k + 1], len(samples), axis=0)  # the class that is called now
    own = MaskedModel(masked.explained, samples, background, schema_units=masked.units, select=select)
    if masked.explained.stepped:
        parts, base = _by_leaving_out(own), own.base
    else:
        attribution = integrated_gradients(own, tolerance=0.02)
        parts, base = attribution.by_feature(), attribution.base
    return AttributionEvolution(
        masked.samples.names[k],
        steps,
        own.predictions,
        base,
        parts,
        masked.explained.spec.features,
        masked.explained.target.name,
        masked.explained.target.unit,
    )


def _moments(
    masked: MaskedModel, k: int, series: Series | None, points: int
) -> tuple[Samples, NDArray[np.int64]] | None:
    length, one = int(masked.samples.lengths[k]), masked.samples.take(np.array([k]))
    if masked.explained.spec.variable_length:
        if length < 2:
            return None
        steps = np.unique(np.linspace(max(1, min(length // points, 20)), length, points).round().astype(np.int64))
        return _joined([one.prefix(int(step)) for step in steps]), steps
    unit, row = int(one.unit[0]), int(one.row[0])
    if series is None or unit < 0:
        return None
    first = int(series.offsets[unit]) + length - 1
    rows = np.unique(np.linspace(max(first, row - 4 * length), row, points).round().astype(np.int64))
    if len(rows) < 2:
        return None
    windows = [
        replace(one, values=np.asarray(series.values[at - length + 1 : at + 1])[None], row=np.array([at]))
        for at in rows
    ]
    return _joined(windows), rows - int(series.offsets[unit]) + 1


def _joined(parts: list[Samples]) -> Samples:
    names = tuple(f"{part.names[0]} #{i}" for i, part in enumerate(parts))
    return Samples(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        names,
        np.concatenate([part.unit for part in parts]),
        np.concatenate([part.row for part in parts]),
    )


def _by_leaving_out(masked: MaskedModel) -> NDArray[np.float64]:
    """For models without a gradient: what the answer loses without each sensor, ``(samples, features)``."""
    parts = np.zeros((len(masked.samples), len(masked.explained.spec.features)))
    for k in range(len(masked.samples)):
        groups = make_groups(masked, k, 1)
        without = groups.present(~np.eye(len(groups), dtype=bool))
        parts[k, groups.feature] = masked.predictions[k] - masked.mean_answers(k, without)
    return parts
