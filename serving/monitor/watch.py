"""Statistics and drift alarms of one version's inputs and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.running_stats import Moments
from keras_seq.export.reference import TrainingReference, spread_evenly
from serving.monitor.calibrate import DriftThreshold, Window
from serving.monitor.distances import DISTANCES, Distances, ReferenceStatistics
from serving.monitor.settings import MonitorSettings

Float = NDArray[np.float32]
INPUTS, ANSWERS = "inputs", "answers"
TOP = 5  # columns named in an event


class RingBuffer:
    """Ring buffer of a window's newest rows.

    Args:
        window: how many requests it spans and which of them it keeps.
        columns: of a row.
    """

    def __init__(self, window: Window, columns: int) -> None:
        self.window = window
        self._rows = np.zeros((window.rows, columns), np.float32)
        self._kept = self._seen = 0

    def add(self, rows: Float) -> None:
        """Take ``(n, columns)`` in; every ``window.stride``-th row ever seen is kept."""
        first = -self._seen % self.window.stride
        self._seen += len(rows)
        kept = rows[first :: self.window.stride][-self.window.rows :]
        skipped = len(rows[first :: self.window.stride]) - len(kept)
        places = (self._kept + skipped + np.arange(len(kept))) % len(self._rows)
        self._rows[places] = kept
        self._kept += skipped + len(kept)

    @property
    def full(self) -> bool:
        """Whether all of it is traffic."""
        return self._kept >= len(self._rows)

    @property
    def rows(self) -> Float:
        """Its rows in no particular order, ``(window.rows, columns)``."""
        return self._rows


@dataclass
class Alarm:
    """Alarm of one window size: state, score and distances.

    Attributes:
        on: drift, confirmed.
        score: of the last check; above 1 speaks for drift.
        distances: of the last check.
        agreed: checks in a row that speak for a change of ``on``.
    """

    on: bool = False
    score: float = 0.0
    distances: Distances | None = None
    agreed: int = 0

    def update(self, score: float, distances: Distances, confirm: int) -> bool:
        """Take a check in; whether the state changed."""
        self.score, self.distances = score, distances
        self.agreed = self.agreed + 1 if (score > 1) != self.on else 0
        if self.agreed < confirm:
            return False
        self.on, self.agreed = not self.on, 0
        return True


@dataclass
class WatchedGroup:
    """Statistics, windows and alarms of a version's inputs or answers.

    Attributes:
        name: "inputs" or "answers".
        columns: names.
        moments: of all rows since the start.
        missing: values without a number, by column.
        rows: counted.
        reference: its rows; None: nothing is compared.
        thresholds: by window size.
        rings, alarms: by window size.
    """

    name: str
    columns: tuple[str, ...]
    moments: Moments
    missing: NDArray[np.int64]
    rows: int = 0
    reference: ReferenceStatistics | None = None
    thresholds: dict[int, DriftThreshold] = field(default_factory=dict)
    rings: dict[int, RingBuffer] = field(default_factory=dict)
    alarms: dict[int, Alarm] = field(default_factory=dict)

    def add(self, rows: Float) -> None:
        """Take ``(n, columns)`` in."""
        self.rows += len(rows)
        self.missing += (~np.isfinite(rows)).sum(axis=0)
        self.moments.add(rows)
        for ring in self.rings.values():
            ring.add(rows)


def windows_of(settings: MonitorSettings) -> list[Window]:
    """Windows to compare; of long ones every so many-th request is kept."""
    return [Window(size, max(1, size // settings.window_rows)) for size in settings.windows]


class VersionWatch:
    """Statistics and alarms of one version; used by one thread.

    Args:
        model, version: that it watches.
        reference: of the version; None: statistics only.
        thresholds: by group and window size; see ``serving.monitor.thresholds``.
        settings: of the monitor.
    """

    def __init__(
        self,
        model: str,
        version: int,
        reference: TrainingReference | None,
        thresholds: dict[str, dict[int, DriftThreshold]],
        settings: MonitorSettings,
    ) -> None:
        self.model, self.version, self.reference, self.settings = model, version, reference, settings
        self.calls = self.unread = 0
        self.seconds = 0.0
        self.groups: dict[str, WatchedGroup] = {}
        self._due = settings.every
        if reference is not None:
            self._compare(INPUTS, reference.columns, reference.rows, thresholds.get(INPUTS, {}))
            self._compare(ANSWERS, reference.answer_columns, reference.answers, thresholds.get(ANSWERS, {}))

    def _compare(self, name: str, columns: tuple[str, ...], rows: Float, thresholds: dict[int, DriftThreshold]) -> None:
        group = self._group(name, columns)
        if not thresholds:
            return
        group.reference, group.thresholds = ReferenceStatistics(rows[spread_evenly(len(rows))]), thresholds
        for window in windows_of(self.settings):
            group.rings[window.requests] = RingBuffer(window, len(columns))
            group.alarms[window.requests] = Alarm()

    def _group(self, name: str, columns: tuple[str, ...]) -> WatchedGroup:
        if name not in self.groups:
            self.groups[name] = WatchedGroup(name, columns, Moments(len(columns)), np.zeros(len(columns), np.int64))
        return self.groups[name]

    def add(self, name: str, columns: tuple[str, ...], parts: Sequence[Float]) -> None:
        """Rows of some calls; of a version without a reference, rows with other columns than the first are unread."""
        group = self._group(name, columns)
        if group.columns != columns:
            self.unread += len(parts)
            return
        rows = np.concatenate(parts)
        group.add(rows)
        if name == INPUTS or INPUTS not in self.groups:
            self._due -= len(rows)

    @property
    def due(self) -> bool:
        """Whether enough rows came since the last check."""
        return self._due <= 0

    def check(self) -> list[dict[str, Any]]:
        """Compare every full window with the reference; alarms that start or end, as events."""
        self._due = self.settings.every
        events = []
        for group in self.groups.values():
            for size, ring in group.rings.items():
                threshold = group.thresholds.get(size)
                if not ring.full or threshold is None or group.reference is None:
                    continue
                distances = group.reference.compare(group.reference.place(ring.rows))
                if group.alarms[size].update(threshold.score(distances), distances, self.settings.confirm):
                    events.append(self._event(group, size, threshold, distances))
        return events

    def _event(self, group: WatchedGroup, size: int, threshold: DriftThreshold, distances: Distances) -> dict[str, Any]:
        alarm, shares = group.alarms[size], threshold.shares(distances)
        by_column = [name for name in distances if DISTANCES[name].by_column]
        worst = np.max([shares[name] for name in by_column], axis=0)
        overall: dict[str, float] = {}
        for name in [name for name in distances if name not in by_column]:
            overall |= {name: float(distances[name][0]), f"{name}_share": float(shares[name][0])}
        top = [
            {"column": group.columns[k], "share": float(worst[k])}
            | {name: float(distances[name][k]) for name in by_column}
            for k in np.argsort(-worst)[:TOP]
        ]
        return {
            "event": "drift_started" if alarm.on else "drift_ended",
            "model": self.model,
            "version": self.version,
            "of": group.name,
            "window": size,
            "score": alarm.score,
            **overall,
            "top": top,
            "rows": group.rows,
            "false_alarms": threshold.alpha,
        }

    @property
    def drifting(self) -> bool:
        """Whether any alarm is on."""
        return any(alarm.on for group in self.groups.values() for alarm in group.alarms.values())
