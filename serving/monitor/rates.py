"""False-alarm rate and detection delay of a monitor, measured with a bundle's own data, part by part.

Streams of requests are put together as traffic comes: units of the part in random order, whole, engine by engine,
every step one request. They go through the same windows, thresholds and confirmation as those of a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ConfigError
from keras_seq.export.reference import TrainingReference, part_answers, part_rows
from serving.monitor.calibrate import find_pieces
from serving.monitor.settings import MonitorSettings
from serving.monitor.thresholds import Thresholds, thresholds_of
from serving.monitor.watch import ANSWERS, INPUTS, VersionWatch

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Rates:
    """Alarm rates and delays over streams of requests.

    Attributes:
        streams: so many.
        requests: of each.
        checks: of all streams, by "inputs 100" and the like.
        exceeded: share of them above the threshold.
        alarms: confirmed, in all streams.
        alarmed: share of streams with at least one alarm.
        delays: requests until the first alarm, of the streams that had one.
    """

    streams: int
    requests: int
    checks: Mapping[str, int]
    exceeded: Mapping[str, float]
    alarms: Mapping[str, int]
    alarmed: float
    delays: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        delays = {"median": float(np.median(self.delays)), "largest": max(self.delays)} if self.delays else None
        return {
            "streams": self.streams,
            "requests": self.requests,
            "checks": dict(self.checks),
            "exceeded": dict(self.exceeded),
            "alarms": dict(self.alarms),
            "streams_with_alarm": self.alarmed,
            "requests_until_alarm": delays,
        }


def measure(
    reference: TrainingReference,
    thresholds: Thresholds,
    settings: MonitorSettings,
    rows: Float,
    unit: NDArray[np.integer],
    answers: Float | None = None,
    *,
    requests: int = 2000,
    streams: int = 100,
    seed: int = 0,
) -> Rates:
    """Send streams of a part's rows, and their answers where given, through fresh watches."""
    rng, pieces = np.random.default_rng(seed), find_pieces(unit)
    checks, exceeded, alarms, delays = dict[str, int](), dict[str, int](), dict[str, int](), list[int]()
    for _ in range(streams):
        order = rng.permutation(len(pieces))
        numbers = np.concatenate([np.arange(*pieces[k]) for k in order])
        numbers = np.resize(numbers, requests)
        watch = VersionWatch("model", 1, reference, thresholds, settings)
        first = 0
        for start in range(0, requests, settings.every):
            part = numbers[start : start + settings.every]
            watch.add(INPUTS, reference.columns, [rows[part]])
            if answers is not None:
                watch.add(ANSWERS, reference.answer_columns, [answers[part]])
            for event in watch.check():
                key = f"{event['of']} {event['window']}"
                if event["event"] == "drift_started":
                    alarms[key] = alarms.get(key, 0) + 1
                    first = first or start + len(part)
            _count(watch, checks, exceeded)
        if first:
            delays.append(first)
    shares = {key: exceeded.get(key, 0) / count for key, count in checks.items()}
    return Rates(streams, requests, checks, shares, alarms, len(delays) / streams, tuple(delays))


def _count(watch: VersionWatch, checks: dict[str, int], exceeded: dict[str, int]) -> None:
    for group in watch.groups.values():
        for size, alarm in group.alarms.items():
            if alarm.distances is not None:
                key = f"{group.name} {size}"
                checks[key] = checks.get(key, 0) + 1
                exceeded[key] = exceeded.get(key, 0) + int(alarm.score > 1)


def measure_part(
    reference: TrainingReference,
    settings: MonitorSettings,
    bundle: Bundle,
    part: str,
    *,
    requests: int = 2000,
    streams: int = 100,
) -> Rates:
    """The same for a part of the bundle's data; other data where its experiment names others.

    Raises:
        ConfigError: the bundle has other features than the reference.
        DataError: the data are missing.
    """
    from keras_seq.data.prepare import prepare

    if tuple(bundle.spec.features) != reference.features:
        raise ConfigError(
            f"Bundle '{bundle.folder}' takes {len(bundle.spec.features)} features, the version's reference has "
            f"{len(reference.features)} or others; give the bundle that the version was exported from."
        )
    prepared = prepare(bundle.experiment.data)
    rows, unit = part_rows(prepared, part, reference.views, longest=bundle.spec.time)
    _, answers, _, _ = part_answers(bundle, prepared, part)
    thresholds = thresholds_of(reference, settings)
    return measure(reference, thresholds, settings, rows, unit, answers, requests=requests, streams=streams)
