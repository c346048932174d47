"""Evolution of answers as steps arrive: predictions on growing prefixes, and how early a defect is detected."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.windows import WindowIndex
from keras_seq.errors import ConfigError
from keras_seq.training.class_metrics import detection_step
from keras_seq.training.predictions import Points, points, predict_windows

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared

Int = NDArray[np.int64]


@dataclass(frozen=True)
class PredictionEvolution:
    """Answers after more and more steps of every unit.

    Attributes:
        points: one row an answer, units in order, oldest first; ``steps`` says how many steps were seen.
        length: steps of the unit in all, ``(points,)``.
    """

    points: Points
    length: Int

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of the unit seen, ``(points,)`` in (0, 1]."""
        return np.asarray(self.points.steps / self.length)


@dataclass(frozen=True)
class Detection:
    """Delay until units of class 1 are called, by the rule that a call holds to the end.

    Attributes:
        threshold: from which on a probability is a call.
        positives: units of class 1.
        detected: share of them called at their end.
        median_step: steps after which the median detected one is called for good.
        median_share: the same as a share of its steps.
        false_alarms: share of the other units called at their end.
        wavering: share of the other units called at any time.
        unit: unit numbers of class 1, ``(positives,)``.
        step: steps until the call of each; NaN where never.
    """

    threshold: float
    positives: int
    detected: float
    median_step: float
    median_share: float
    false_alarms: float
    wavering: float
    unit: Int
    step: NDArray[np.float64]

    def to_dict(self) -> dict[str, float]:
        """The numbers without the units."""
        names = ("threshold", "positives", "detected", "median_step", "median_share", "false_alarms", "wavering")
        return {name: float(getattr(self, name)) for name in names}


def evolve(bundle: Bundle, prepared: Prepared, part: str, *, answers: int = 20) -> PredictionEvolution:
    """Predict on growing prefixes of every unit.

    Models that answer at every step, and sliding windows, already do so in one pass; models of whole sequences get
    prefixes of ``1/answers, 2/answers, ... 1`` of each unit, all in large batches.

    Args:
        bundle: loaded; its calibration is applied.
        prepared: of its data.
        part: "train", "validation" or "test".
        answers: prefixes of a unit.

    Raises:
        ConfigError: a forecast, which has no sequence to grow, or whole windows of fixed length.
    """
    from keras_seq.evaluation.postprocessed import postprocess

    spec, data, index = bundle.spec, bundle.experiment.data, prepared.index[part]
    if spec.horizon:
        raise ConfigError(
            f"Bundle '{bundle.folder}' forecasts {spec.horizon} steps ahead; how an answer evolves is asked of models "
            "that judge a sequence. See the error by step ahead in its plots."
        )
    if not spec.per_step and data.windows.mode != "sliding":
        if not spec.variable_length:
            raise ConfigError(
                f"Bundle '{bundle.folder}' takes windows of exactly {spec.time} steps, so it cannot answer on shorter "
                "prefixes; train it on sequences of different length."
            )
        index = prefixes(index, answers)
    prediction = predict_windows(bundle.model, prepared.series, index, spec, data)
    own = points(prepared.series, index, spec, prediction)
    served = postprocess(own, spec, bundle.experiment, bundle.decision, part="validation")  # nothing adapts here
    shown = served.points if served.value is None else dataclasses.replace(own, prediction=served.value)
    order = np.lexsort((shown.row, shown.unit))
    shown = shown.select(order)
    return PredictionEvolution(shown, prepared.series.lengths[shown.unit])


def prefixes(index: WindowIndex, answers: int) -> WindowIndex:
    """``answers`` growing prefixes of every window, shortest first; short windows get fewer, all different."""
    wanted = -(-index.length[:, None] * np.arange(1, answers + 1) // answers)
    keep = np.diff(wanted, axis=1, prepend=0) > 0
    window, length = np.nonzero(keep)[0], wanted[keep]
    start = index.start[window]
    return WindowIndex(start, length, start + length - 1, index.unit[window], index.first[window])


def detection(evolution: PredictionEvolution, threshold: float) -> Detection:
    """Delay until units of class 1 are called.

    Args:
        evolution: of a binary model with one label a unit.
        threshold: of the bundle.
    """
    points = evolution.points
    units, first = np.unique(points.unit, return_index=True)
    pieces = np.split(np.arange(len(points.unit)), first[1:])
    label = points.truth[[piece[-1] for piece in pieces]] > 0.5
    step = np.full(len(units), np.nan)
    share, ever = np.full(len(units), np.nan), np.zeros(len(units), bool)
    for number, piece in enumerate(pieces):
        position = detection_step(points.prediction[piece], threshold)
        ever[number] = bool((points.prediction[piece] >= threshold).any())
        if np.isfinite(position):
            at = piece[int(position)]
            step[number], share[number] = points.steps[at], evolution.share[at]
    called = np.isfinite(step)
    hit = called & label
    return Detection(
        threshold=threshold,
        positives=int(label.sum()),
        detected=_mean(called[label]),
        median_step=float(np.median(step[hit])) if hit.any() else float("nan"),
        median_share=float(np.median(share[hit])) if hit.any() else float("nan"),
        false_alarms=_mean(called[~label]),
        wavering=_mean(ever[~label]),
        unit=units[label].astype(np.int64),
        step=step[label],
    )


def in_words(numbers: Mapping[str, float]) -> str:
    """Sentences about the numbers of ``Detection.to_dict``."""
    return (
        f"Of {numbers['positives']:.0f} units of class 1, {numbers['detected']:.1%} are called in the end at the "
        f"threshold {numbers['threshold']:.3f}; the median of them for good after {numbers['median_step']:.0f} steps, "
        f"{numbers['median_share']:.0%} of the sequence. Of the others {numbers['false_alarms']:.1%} are called in the "
        f"end, {numbers['wavering']:.1%} at some time."
    )


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
