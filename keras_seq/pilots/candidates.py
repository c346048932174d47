"""The candidates of a task, simplest first: references, linear models, trees, networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from keras_seq.config import Experiment

Kind = Literal["reference", "fitted", "network"]
CHANGED = ("model", "training")  # sections that a candidate brings itself
MOST_SEASON = 1000  # steps of a season that a reference looks back
SEASONS = 4  # of those found, the calendar's first
LONG_SEASON = 50  # steps: a window holds one such season, two of a shorter one
MOST_LAGS = 400  # steps: what lies further back is not read by ridge, and slow to try
MOST_OUTPUTS = 64  # numbers of an answer that boosted trees are grown for, one by one
SMALL: dict[str, Any] = {"units": 32, "layers": 1, "bidirectional": True, "pooling": "mean", "dropout": 0.3}
LINEAR: dict[str, Any] = {
    "units": 32,
    "layers": 1,
    "skip": "linear",
    "dropout": 0.2,
    "hidden_dims": [],
    "normalisation": "instance",
}
DENSE: dict[str, Any] = {"units": 32, "layers": 1, "dropout": 0.3, "hidden_dims": []}
BY_ITSELF: dict[str, Any] = {"normalisation": "instance"}  # each window in its own mean and deviation
# families by name, tried where they are registered
LINEAR_FORECASTS = ("nlinear", "dlinear")
FORECAST_NETWORKS = ("nhits", "tsmixer", "patchtst", "itransformer")
SEQUENCE_FITTED = ("minirocket",)
SEQUENCE_NETWORKS = ("inception_time", "resnet")
CONSTANT = "always the same answer"  # the mean of training, or the shares of its classes


@dataclass(frozen=True)
class PilotCandidate:
    """A model that is tried.

    Attributes:
        name: as in the table.
        family: of the model.
        kind: reference (trained by nothing), fitted at once, or network.
        model: its other fields of the ``model`` section.
        window: steps of its windows; 0: those of the configuration.
    """

    name: str
    family: str
    kind: Kind
    model: Mapping[str, Any] = field(default_factory=dict)
    window: int = 0

    @property
    def changes(self) -> dict[str, Any]:
        """Dotted values that it brings into a configuration, ``model`` from scratch."""
        own = {"model.family": self.family, **{f"model.{name}": value for name, value in self.model.items()}}
        return own | ({"data.windows.length": self.window} if self.window else {})

    @property
    def rank(self) -> int:
        """Kind by what it takes: 0 references, 1 what is linear or fitted at once, 2 networks."""
        if self.kind == "reference":
            return 0
        return 1 if self.kind == "fitted" or self.family in LINEAR_FORECASTS else 2

    @property
    def season(self) -> int:
        """Rows that a reference looks back; 0: it is the same answer always."""
        if self.family == "seasonal_naive":
            return round(self.model["arima"]["period"])
        return int(self.family == "naive")


def constant() -> PilotCandidate:
    """The answer that knows nothing of its inputs; it can be tried, and no configuration can hold it."""
    return PilotCandidate(CONSTANT, "", "reference")


def cheap(
    experiment: Experiment, seasons: Mapping[int, str], known: Iterable[str], room: int, period: int, units: int = 1
) -> list[PilotCandidate]:
    """References and linear models, in seconds; forecasts with several windows.

    Args:
        experiment: proposed by the rules.
        seasons: lags in rows worth trying, with their words; 1 is the last value.
        known: families that there are.
        room: longest window worth trying.
        period: season that ``model.arima.period`` keeps for the scale of errors; 0: none.
        units: in the train part; several may be of unlike scale.
    """
    known, windows = set(known), experiment.data.windows
    if not windows.horizon:
        return _at_once(["ridge"], known)
    kept = {"arima": {"period": period}} if period else {}
    found = [
        PilotCandidate("naive", "naive", "reference", kept),
        PilotCandidate("mean", "mean", "reference", kept),
        *_seasonal(seasons, windows.length, room),
    ]
    lengths = window_lengths(experiment, seasons, room)
    for family in [name for name in ("ridge", *LINEAR_FORECASTS) if name in known]:
        kind: Kind = "fitted" if family == "ridge" else "network"
        tried = lengths if family == "ridge" else lengths[: 2 if family == "nlinear" else 1]
        found += [PilotCandidate(f"{family}, window {length}", family, kind, kept, length) for length in tried]
    if "ridge" in known and units > 1:
        found += [
            PilotCandidate(f"ridge, {n}, by itself", "ridge", "fitted", {**kept, **BY_ITSELF}, n) for n in lengths[:2]
        ]
    return found


def dear(
    experiment: Experiment,
    known: Iterable[str],
    window: int,
    proposed: Mapping[str, Any],
    period: int,
    units: int = 1,
) -> list[PilotCandidate]:
    """Trees, then networks, with the best window that a linear model found.

    Args:
        experiment: proposed by the rules.
        known: families that there are.
        window: steps; 0: those of the configuration.
        proposed: ``model`` fields of the network that the rules propose; empty: they propose none.
        period: as in ``cheap``.
        units: as in ``cheap``.
    """
    known, data = set(known), experiment.data
    kept = {"arima": {"period": period}} if period else {}
    if data.windows.horizon:
        outputs = data.windows.horizon * max(1, len(data.targets))
        trees = ["extra_trees", *(["hist_gradient_boosting"] if outputs <= MOST_OUTPUTS else [])]
        networks = {"lstm": LINEAR, **{name: BY_ITSELF for name in FORECAST_NETWORKS}}
    elif data.windows.mode == "whole" and not data.windows.per_step:
        trees = ["extra_trees", *SEQUENCE_FITTED, "hist_gradient_boosting"]
        networks = {"gru": SMALL, **{name: {} for name in SEQUENCE_NETWORKS}}
    else:
        trees, networks = ["extra_trees", "hist_gradient_boosting"], {"gru": DENSE}
    if proposed:
        own = {name: value for name, value in proposed.items() if name not in ("family", "arima")}
        networks = {proposed["family"]: own} | {n: m for n, m in networks.items() if n != proposed["family"]}
    found = [PilotCandidate(name, name, "fitted", kept, window) for name in trees if name in known]
    if data.windows.horizon and units > 1:
        alone = [own for own in found if own.family == "extra_trees"]
        found += [replace(own, name=f"{own.name}, by itself", model={**kept, **BY_ITSELF}) for own in alone]
    return found + [
        PilotCandidate(name, name, "network", {**kept, **model}, window)
        for name, model in networks.items()
        if name in known
    ]


def _at_once(families: Iterable[str], known: set[str]) -> list[PilotCandidate]:
    return [PilotCandidate(name, name, "fitted") for name in families if name in known]


def _seasonal(seasons: Mapping[int, str], length: int, room: int) -> list[PilotCandidate]:
    """The value of a season before, for every season that a window may hold."""
    most = min(MOST_SEASON, max(room, length))
    return [
        PilotCandidate(
            f"seasonal_naive, {season} steps",
            "seasonal_naive",
            "reference",
            {"arima": {"period": season}},
            max(season, length),
        )
        for season in [season for season in seasons if 1 < season <= most][:SEASONS]
    ]


def window_lengths(experiment: Experiment, seasons: Mapping[int, str], room: int, most: int = 4) -> list[int]:
    """Windows worth trying, the proposed one first: whole seasons no shorter than the horizon, and twice that."""
    windows = experiment.data.windows
    found, known = [windows.length], [season for season in seasons if 1 < season <= MOST_LAGS][:SEASONS]
    for season in known:
        reach = max(windows.horizon, season if season > LONG_SEASON else 2 * season)
        found.append(season * math.ceil(reach / season))
    found += [2 * season for season in known[-1:]] + [max(24, 2 * windows.horizon), max(96, 4 * windows.horizon), 8]
    longest = max(windows.length, min(room, MOST_LAGS))
    return list(dict.fromkeys(length for length in found if 2 <= length <= longest))[:most]
