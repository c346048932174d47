"""Thresholds of a version, drawn once and kept beside the monitor's other files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import files
from keras_seq.errors import OutputError
from keras_seq.export.reference import TrainingReference
from serving.monitor import calibrate
from serving.monitor.adwin import Adwin
from serving.monitor.calibrate import DriftThreshold, draw_stream, find_pieces
from serving.monitor.distances import DISTANCES
from serving.monitor.settings import MonitorSettings
from serving.monitor.watch import ANSWERS, INPUTS, windows_of

FORMAT = 2
KEPT = "thresholds"
MOST_DRAWS = 40_000
ERROR_STREAM = 2000  # labelled answers of a drawn stream of errors
ERROR_STREAMS = 100
ERROR_ALARMS = 0.05  # share of such streams that may show a rise where there is none
BLOCKS = (1, 10, 25, 50)  # errors averaged before ADWIN sees them, the most sensitive first
DELTAS = (2e-3, 1e-4, 1e-6)

Thresholds = dict[str, dict[int, DriftThreshold]]


def thresholds_of(reference: TrainingReference, settings: MonitorSettings) -> Thresholds:
    """Thresholds of both groups and all windows, from the kept file or drawn anew (seconds).

    The chance of a false alarm is shared out evenly among the comparisons of a check.
    """
    path = Path(settings.folder) / KEPT / f"{_key(reference, settings)}.json"
    stored = _read(path)
    if stored is not None:
        return stored
    windows = windows_of(settings)
    alpha = settings.false_alarms / (2 * len(windows))
    draws = int(min(MOST_DRAWS, max(calibrate.DRAWS, np.ceil(2 / alpha))))
    sets = {INPUTS: (reference.rows, reference.row_unit), ANSWERS: (reference.answers, reference.answer_unit)}
    thresholds: Thresholds = {}
    for name, (rows, unit) in sets.items():
        drawn = {
            window.requests: calibrate.calibrate(rows, unit, window, alpha=alpha, draws=draws) for window in windows
        }
        thresholds[name] = {size: threshold for size, threshold in drawn.items() if threshold is not None}
    _write(path, thresholds)
    return thresholds


def _key(reference: TrainingReference, settings: MonitorSettings) -> str:
    drawn_with = (FORMAT, *DISTANCES, settings.windows, settings.window_rows, settings.false_alarms)
    digest = hashlib.sha256(" ".join(map(str, drawn_with)).encode())
    for array in (reference.rows, reference.row_unit, reference.answers, reference.answer_unit):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path) -> Thresholds | None:
    try:
        stored = files.read_json(path)
        return {
            name: {int(size): DriftThreshold.from_dict(stored_threshold) for size, stored_threshold in sizes.items()}
            for name, sizes in stored["thresholds"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # drawn again


def _write(path: Path, thresholds: Thresholds) -> None:
    tree: dict[str, Any] = {
        name: {str(size): threshold.to_dict() for size, threshold in sizes.items()}
        for name, sizes in thresholds.items()
    }
    try:
        files.write_json(path, {"format": FORMAT, "thresholds": tree})
    except OutputError:
        return  # they are drawn again at the next start


class ErrorStream:
    """Errors of labelled answers in the order of their requests; says when they rose.

    Errors of neighbouring requests are alike, which ADWIN takes for change: they are averaged over blocks first.

    Args:
        scale: error that counts as 1, larger ones too: ADWIN's bound holds for numbers from 0 to 1.
        block: errors averaged.
        delta: of ADWIN.
    """

    def __init__(self, scale: float, block: int, delta: float) -> None:
        self.scale, self.block = scale, block
        self.adwin = Adwin(delta, clock=1 if block > 1 else 32)
        self._waiting: list[float] = []

    def update(self, error: float) -> bool:
        """Take an error in; whether a rise shows. Errors that are no number are left out."""
        if not np.isfinite(error):
            return False
        self._waiting.append(min(abs(error) / self.scale, 1.0))
        if len(self._waiting) < self.block:
            return False
        mean = sum(self._waiting) / self.block
        self._waiting.clear()
        return self.adwin.update(mean) and self.adwin.rose


def error_stream(reference: TrainingReference, *, seed: int = 0) -> tuple[ErrorStream, float] | None:
    """The most sensitive stream whose false alarms on the reference's held-out errors are few enough.

    Returns:
        The stream and the measured share of drawn streams of ``ERROR_STREAM`` errors without a change in which it
        saw a rise (above ``ERROR_ALARMS`` only if none keeps it); None if the reference holds too few errors.
    """
    known = np.isfinite(reference.errors)
    errors, unit = reference.errors[known], reference.answer_unit[known]
    if len(errors) < calibrate.LEAST_ROWS:
        return None
    rng, pieces = np.random.default_rng(seed), find_pieces(unit)
    window = calibrate.Window(ERROR_STREAM)
    streams = [errors[draw_stream(pieces, window, rng)].tolist() for _ in range(ERROR_STREAMS)]
    scale = max(float(np.quantile(errors, 0.995)), 1e-9)
    best: tuple[tuple[int, float], float] | None = None
    for block in BLOCKS:
        for delta in DELTAS:
            false = np.mean([_rises(ErrorStream(scale, block, delta), stream) for stream in streams])
            if best is None or false < best[1]:
                best = ((block, delta), float(false))
            if false <= ERROR_ALARMS:
                return ErrorStream(scale, block, delta), float(false)
    assert best is not None
    return ErrorStream(scale, *best[0]), best[1]


def _rises(stream: ErrorStream, errors: list[float]) -> bool:
    return any(stream.update(error) for error in errors)
