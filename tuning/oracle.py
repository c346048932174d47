"""KerasTuner's oracles, made to survive a kill at any moment.

KerasTuner 1.4.8 writes its state in place (a kill leaves half a file), writes a finished trial while it still
counts as running (after a kill it is run again), and a new trial before the list of running ones (after a kill
it is lost). :class:`Durable` mends these three, puts the configuration itself first, as trial 0, and never gives out
the same values twice. A configuration outside the space has no place in it: its trial is on record, but no oracle
learns from it or counts it as tried.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras_tuner as kt
from keras_tuner.src.engine import hyperparameters as hp_types
from keras_tuner.src.engine.oracle import synchronized
from keras_tuner.src.engine.trial import Trial, TrialStatus

from keras_seq import config, files
from keras_seq.errors import ConfigError
from tuning import space as spaces
from tuning.settings import TuningConfig

ENDLESS = 10**9


class DurableOracle:
    """Mixin of the oracles: atomic state, nothing lost or repeated, a clean stop.

    Attributes:
        own: the configuration's own values, those of the first trial; None where the space does not hold them.
        stopping: no new trials are given out.
        exhausted: the space held no further values when a trial was asked for.
    """

    own: dict[str, Any] | None
    trials: dict[str, Trial]
    stopping = False
    exhausted = False

    def save(self) -> None:
        """Write the oracle's state."""
        files.write_json(Path(self._get_oracle_fname()), self.get_state())  # type: ignore[attr-defined]

    def _save_trial(self, trial: Trial) -> None:
        files.write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())  # type: ignore[attr-defined]

    def reload(self) -> None:
        """Read the state back; every trial that had begun and not ended is run next."""
        super().reload()  # type: ignore[misc]
        trials = self.trials
        open_ones = sorted(name for name, trial in trials.items() if trial.status in ("RUNNING", "INVALID"))
        self._retry_queue = open_ones[::-1]  # taken from its end
        self.end_order: list[str] = [name for name in self.end_order if name not in open_ones]
        self.end_order += [name for name in trials if name not in (*open_ones, *self.end_order)]
        self.start_order: list[str] = sorted(trials, key=int)
        self.tuner_ids: set[str] = set()

    @synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial; STOPPED once all are given out or the search is being stopped."""
        if self.stopping and tuner_id not in self.ongoing_trials:  # type: ignore[attr-defined]
            self.tuner_ids.discard(tuner_id)
            hyperparameters = self.hyperparameters.copy()  # type: ignore[attr-defined]
            return Trial(hyperparameters=hyperparameters, trial_id="", status=TrialStatus.STOPPED)
        return super().create_trial(tuner_id)  # type: ignore[misc]

    @synchronized
    def end_trial(self, trial: Trial) -> None:
        """Take a result; saved again once the trial no longer counts as running."""
        super().end_trial(trial)  # type: ignore[misc]
        self.save()

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Values of the next trial; the first one gets the configuration's own, or none where it is outside."""
        first = not self.trials
        if first and self.own is None:
            return {"status": TrialStatus.RUNNING, "values": {}}
        with self._without_outsider():
            response: dict[str, Any] = super().populate_space(trial_id)  # type: ignore[misc]
            if first and response.get("values"):
                extra = {key: value for key, value in response["values"].items() if key.startswith("tuner/")}
                response["values"] = {**(self.own or {}), **extra}
            return self._new(response)

    def _new(self, response: dict[str, Any]) -> dict[str, Any]:
        """The response with values inside the space that no trial had; STOPPED where there are no more."""
        values = response.get("values")
        if values:
            values = {name: self._within(name, value) for name, value in values.items()}
            if values.get("tuner/round") or not self._duplicate(values):  # type: ignore[attr-defined]
                return {**response, "values": values}
        elif response["status"] != TrialStatus.STOPPED:  # Hyperband waits for trials that are running
            return response
        values = self._another()
        self.exhausted = values is None
        return {"status": TrialStatus.STOPPED if values is None else TrialStatus.RUNNING, "values": values}

    def _another(self) -> dict[str, Any] | None:
        """Values that were not tried, by chance or else the first in order; None where there are none."""
        return self._random_values() or self._first_untried(every_value)  # type: ignore[attr-defined]

    def _first_untried(self, values_of: Callable[[Any], Sequence[Any] | None]) -> dict[str, Any] | None:
        space = self.get_space().space  # type: ignore[attr-defined]
        untried = (v for v in combinations(space, values_of) if not self._duplicate(v))  # type: ignore[attr-defined]
        return next(untried, None)

    def _within(self, name: str, value: spaces.Value) -> spaces.Value:
        """A value inside its range: KerasTuner's logarithmic whole numbers pass it by one, others by rounding."""
        for hp in self.hyperparameters.space:  # type: ignore[attr-defined]
            if hp.name == name and hasattr(hp, "min_value"):
                return type(value)(min(max(value, hp.min_value), hp.max_value))
        return value

    def _record_values(self, trial: Trial) -> None:
        """Count the values as tried, unless they are those of a configuration outside the space."""
        if not self._is_outsider(trial.trial_id):
            super()._record_values(trial)  # type: ignore[misc]

    def _is_outsider(self, trial_id: str) -> bool:
        return self.own is None and int(trial_id) == 0

    @contextlib.contextmanager
    def _without_outsider(self) -> Iterator[None]:
        """The trial of a configuration outside the space is not there while the block runs."""
        everything = self.trials
        self.trials = {name: trial for name, trial in everything.items() if not self._is_outsider(name)}
        try:
            yield
        finally:
            self.trials = everything


class RandomOracle(DurableOracle, kt.oracles.RandomSearchOracle):
    """Random search."""


class _Grid(kt.Oracle):
    """Every combination in a fixed order; KerasTuner's own grid forgets its place when it is killed."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The first combination that was not tried."""
        values = self._first_untried(lambda hp: list(hp.values))
        return {"status": TrialStatus.STOPPED if values is None else TrialStatus.RUNNING, "values": values}


class GridOracle(DurableOracle, _Grid):
    """Every combination, ranges in steps."""

    def _another(self) -> None:
        """There is no other: what lies between the steps of a range is not on the grid."""


class BayesianOracle(DurableOracle, kt.oracles.BayesianOptimizationOracle):
    """Gaussian process with a lower confidence bound; pending trials count as pessimistic guesses."""


class HyperbandOracle(DurableOracle, kt.oracles.HyperbandOracle):
    """Successive halving in brackets (Li et al. 2018)."""

    def _another(self) -> None:
        """There is no other: every trial has its place in a bracket."""


def every_value(hp: hp_types.HyperParameter) -> Sequence[Any] | None:
    """All values of a parameter; None of a range of broken numbers, which has no end of them."""
    if isinstance(hp, hp_types.Float):
        return None
    if isinstance(hp, hp_types.Int):
        return range(hp.min_value, hp.max_value + 1)
    return list(hp.values)


def combinations(space: Sequence[Any], values_of: Callable[[Any], Sequence[Any] | None]) -> Iterator[dict[str, Any]]:
    """Every combination of the parameters' values in a fixed order, without those whose condition does not hold.

    Those that differ in such a value alone come again. Nothing where a parameter has no end of values.
    """
    columns = [values_of(hp) for hp in space]
    if any(column is None for column in columns):
        return
    for combination in itertools.product(*(column for column in columns if column is not None)):
        chosen = kt.HyperParameters()
        for hp, value in zip(space, combination, strict=True):
            chosen.merge([hp])
            if chosen.is_active(hp):
                chosen.values[hp.name] = value
            else:
                chosen.values.pop(hp.name, None)
        yield chosen.values


def check_enough(tuning: TuningConfig, parameters: tuple[spaces.Parameter, ...], experiment: config.Experiment) -> None:
    """Refuse Hyperband where the space cannot fill its first round: no trial would ever get the whole budget.

    Raises:
        ConfigError: says how many different values there are.
    """
    if tuning.tuner != "hyperband":
        return
    hp = kt.HyperParameters()
    spaces.register(hp, parameters, experiment)
    oracle = kt.oracles.HyperbandOracle(max_epochs=tuning.levels, factor=tuning.factor)
    needed = oracle._get_size(oracle._get_num_brackets() - 1, 0)
    distinct: set[str] = set()
    for values in combinations(hp.space, every_value):
        distinct.add(oracle._compute_values_hash(values))
        if len(distinct) >= needed:
            return
    if distinct:  # else there is no end of them
        raise ConfigError(
            f"Option 'tuning.tuner' is hyperband, whose first round with tuning.levels={tuning.levels} and "
            f"factor={tuning.factor} takes {needed} different configurations, but the space holds {len(distinct)}. Use "
            "tuner grid or random, lower tuning.levels, or widen the space."
        )


def make_oracle(
    tuning: TuningConfig,
    parameters: tuple[spaces.Parameter, ...],
    experiment: config.Experiment,
    *,
    objective: str,
    direction: str,
    folder: Path,
) -> Any:
    """The oracle of a study, with the state that ``folder`` holds.

    Args:
        tuning: settings.
        parameters: the space.
        experiment: gives the first trial's values.
        objective: metric.
        direction: "min" or "max".
        folder: of the oracle's state; made if need be.
    """
    hp = kt.HyperParameters()
    spaces.register(hp, parameters, experiment)
    own = spaces.own_values(parameters, experiment)
    trials = tuning.trials + (own is None)  # the configuration itself comes on top of those of the space
    oracle = _by_tuner(
        tuning,
        trials,
        objective=kt.Objective(objective, direction),
        hyperparameters=hp,
        seed=tuning.seed + 1,  # 0 would mean a seed by chance
        max_consecutive_failed_trials=ENDLESS,  # the search itself decides when to give up
    )
    oracle.own = own
    oracle.verbose = 0
    folder.mkdir(parents=True, exist_ok=True)
    oracle._set_project_dir(str(folder.parent), folder.name)
    if (folder / "oracle.json").exists():
        _reload(oracle, folder)
    return oracle


def _reload(oracle: DurableOracle, folder: Path) -> None:
    try:
        oracle.reload()
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"The state of the search in '{folder}' is damaged ({error}). Restore the folder from a copy, or begin "
            "anew with --overwrite; 'python -m tuning report' still reads the trials' records."
        ) from None


def _by_tuner(tuning: TuningConfig, trials: int, **common: Any) -> Any:
    """The oracle of ``tuning.tuner`` for so many trials."""
    if tuning.tuner == "hyperband":
        oracle = HyperbandOracle(max_epochs=tuning.levels, factor=tuning.factor, hyperband_iterations=ENDLESS, **common)
        oracle.max_trials = trials
        return oracle
    if tuning.tuner == "bayesian":
        initial = tuning.initial or max(3, min(math.ceil(tuning.trials / 4), 15))
        return BayesianOracle(
            max_trials=trials,
            num_initial_points=initial,
            alpha=tuning.noise,
            beta=tuning.exploration,
            **common,
        )
    kind = RandomOracle if tuning.tuner == "random" else GridOracle
    return kind(max_trials=trials, **common)
