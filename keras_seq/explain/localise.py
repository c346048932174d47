"""Localisation of true events by attributions, known only for the caster, whose generator knows its events.

For every correctly called defect with a visible precursor: attribution on the values that the true event moved (its
surge on the mould level, its rise on each thermocouple row) against that on the values moved by decoys in the same
cast, both per value, so that numbers and sizes of events do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import CasterConfig
from keras_seq.data.sources.caster import CAST_OFFSET, HEAT_OFFSET, PROCESS, STATIC_CHANNELS, VISIBLE, _labels
from keras_seq.data.sources.caster_events import PRECURSOR, CastingEvents, plan_events
from keras_seq.errors import DataError
from keras_seq.explain.attribution import Attribution

if TYPE_CHECKING:
    from keras_seq.data.series import Series

SURGE, RISE = 4, 7  # steps on both sides of a peak: two deviations of its bell


@dataclass(frozen=True)
class Localisation:
    """How attributions are divided between true events and decoys.

    Attributes:
        samples: casts judged.
        true: mean ``|attribution|`` of a value moved by the true event, by cast.
        decoy: the same of values moved by decoys only.
        elsewhere: of all other values.
        share: of all ``|attribution|`` that lies on the true event, by cast.
        expected: the part of all values that the true event moves: the share of attributions without any aim.
        signed_true: mean attribution (towards a defect) of a true value.
        signed_decoy: of a decoy's.
    """

    samples: tuple[str, ...]
    true: NDArray[np.float64]
    decoy: NDArray[np.float64]
    elsewhere: NDArray[np.float64]
    share: NDArray[np.float64]
    expected: NDArray[np.float64]
    signed_true: NDArray[np.float64]
    signed_decoy: NDArray[np.float64]

    @property
    def ratio(self) -> float:
        """Attribution of a true value to that of a decoy's, means over the casts."""
        return float(self.true.mean() / max(float(np.nanmean(self.decoy)), 1e-12))

    @property
    def ratios(self) -> NDArray[np.float64]:
        """The same by cast; NaN without decoys."""
        return self.true / self.decoy


def caster_events(config: CasterConfig, series: Series) -> CastingEvents:
    """The events of a generated data set, drawn again as ``load_caster`` draws them.

    Raises:
        DataError: they are not those of ``series``.
    """
    rng = np.random.default_rng(config.seed)
    units, names = config.sequences, len(PROCESS) + config.rows
    heat = np.arange(units) * config.heats // units if config.heats < units else np.arange(units)
    lengths = rng.integers(config.min_length, config.max_length + 1, units)
    levels = HEAT_OFFSET * rng.standard_normal((config.heats, names))[heat]
    levels += CAST_OFFSET * rng.standard_normal((units, names))
    static = levels[:, STATIC_CHANNELS].sum(1) / np.sqrt(len(STATIC_CHANNELS) * (HEAT_OFFSET**2 + CAST_OFFSET**2))
    truth = _labels(config, static, rng)
    events = plan_events(config, lengths, truth["precursor"] == VISIBLE, rng)
    true = events.kind == PRECURSOR
    start = np.full(units, -1, np.int64)
    start[events.unit[true]] = events.surge[true] - SURGE
    if len(series.lengths) != units or not np.array_equal(start, series.truth["event_start"]):
        raise DataError(
            "The events drawn again are not those of this caster data set, so nothing can be said of its decoys; "
            "the generator or its settings have changed since."
        )
    return events


def localise(attribution: Attribution, units: NDArray[np.int64], events: CastingEvents) -> Localisation:
    """Divide attributions between true events and decoys.

    Args:
        attribution: attributions of casts with a visible precursor.
        units: unit number of every sample.
        events: of the data set.

    Raises:
        DataError: a sample has no true event.
    """
    rows = []
    for k, unit in enumerate(units):
        mine = np.flatnonzero(events.unit == unit)
        true, decoy = (
            _moved(attribution, k, events, mine, wanted=True),
            _moved(attribution, k, events, mine, wanted=False),
        )
        if not true.any():
            raise DataError(
                f"Sample '{attribution.samples[k]}' has no visible precursor, so there is nothing to point at."
            )
        decoy &= ~true
        real = np.broadcast_to(attribution.real()[k][:, None], true.shape)
        size, signed = np.abs(attribution.values[k]), attribution.values[k]
        rest = real & ~true & ~decoy
        rows.append(
            (
                size[true].mean(),
                size[decoy].mean() if decoy.any() else np.nan,
                size[rest].mean(),
                size[true].sum() / max(size.sum(), 1e-12),
                true.sum() / real.sum(),
                signed[true].mean(),
                signed[decoy].mean() if decoy.any() else np.nan,
            )
        )
    return Localisation(attribution.samples, *np.array(rows, np.float64).T)


def _moved(
    attribution: Attribution, k: int, events: CastingEvents, mine: NDArray[np.int64], *, wanted: bool
) -> NDArray[np.bool_]:
    """Values ``(time, features)`` that the true event (``wanted``) or the decoys of a cast move."""
    cells = np.zeros(attribution.values.shape[1:], bool)
    step = np.arange(len(cells))
    for event in mine[(events.kind[mine] == PRECURSOR) == wanted]:
        if events.surge[event] >= 0:
            cells[np.abs(step - events.surge[event]) <= SURGE, 0] = True
        for row, peak in enumerate(events.rise[event]):
            if peak >= 0:
                cells[np.abs(step - peak) <= RISE, len(PROCESS) + row] = True
    return cells & attribution.real()[k][:, None]
