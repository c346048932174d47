"""The winner of the pilots put into the choices of a configuration, with what was tried as comments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import config
from keras_seq.autoconfig import advise, write
from keras_seq.autoconfig.facts import Choice
from keras_seq.autoconfig.look import Findings
from keras_seq.autoconfig.unlike import UNLIKE
from keras_seq.config import Experiment
from keras_seq.data.prepare import prepare_series, read_series
from keras_seq.data.series import Series
from keras_seq.data.splits import split
from keras_seq.errors import KerasSeqError
from keras_seq.evaluation.paired_error import MetricScore
from keras_seq.evaluation.seasons import find_seasons
from keras_seq.figures import Say, figure, silent
from keras_seq.models.registry import names
from keras_seq.pilots import table
from keras_seq.pilots.budget import Budget
from keras_seq.pilots.candidates import CONSTANT, PilotCandidate, cheap, constant, dear
from keras_seq.pilots.choose import choose, judge
from keras_seq.pilots.inner import InnerData, inner_data
from keras_seq.pilots.run import Pilot, PilotRun, fit_proof
from keras_seq.tasks import TASKS


@dataclass(frozen=True)
class Outcome:
    """Pilots of a table, judged.

    Attributes:
        run: who was tried.
        scores: by candidate that has answers, the simplest first.
        metric: that decides.
        seasons: words of the lags that references look back.
    """

    run: PilotRun
    scores: dict[str, MetricScore]
    metric: str
    seasons: dict[int, str]

    @property
    def candidates(self) -> dict[str, PilotCandidate]:
        """Those with a score that a configuration can hold, the simplest first."""
        by_name = {pilot.candidate.name: pilot.candidate for pilot in self.run.pilots}
        return {name: by_name[name] for name in self.scores if by_name[name].family}

    def winner(self, *, network: bool = False) -> PilotCandidate:
        """By the rule of one standard error; with ``network`` the best network, if one has answers."""
        found = self.candidates
        networks = [name for name, candidate in found.items() if candidate.kind == "network"]
        if network and networks:
            return found[min(networks, key=lambda name: self.scores[name].behind)]
        rank = {name: candidate.rank for name, candidate in found.items()}
        return found[choose(list(self.scores.values()), rank).name]


def propose(findings: Findings, seconds: float, *, network: bool = False, say: Say = silent) -> None:
    """Replace model, training and window of the proposal by those of the best pilot; the text is written anew.

    Args:
        findings: of ``look``; its choices stay as they are where no pilot has answers.
        seconds: budget; 0: nothing is trained.
        network: take the best network, whoever is better.
        say: gets progress.

    Raises:
        DataError: no model can be trained on this table.
    """
    if seconds <= 0 or not findings.checked:
        return
    with proposal(findings) as experiment:
        series = read_series(experiment.data)
    try:
        inner = inner_data(series, split(series, experiment.data).train, experiment.data)
        outcome = try_candidates(findings, experiment, inner, seconds, say=say)
    except KerasSeqError as error:
        findings.notes.append(f"nothing was tried out: {error}")
        _prove(findings, experiment, series)
        return
    if outcome.candidates:
        _settle(findings, outcome, series, network=network)
        return
    refused = [pilot.remark for pilot in outcome.run.pilots if pilot.candidate.family and pilot.remark]
    reason = f" ({refused[0]})" if refused else ""
    findings.notes.append(f"no candidate could be judged{reason}: the rules alone decided")
    if not outcome.run.interrupted:
        _prove(findings, experiment, series)


def try_candidates(
    findings: Findings, experiment: Experiment, inner: InnerData, seconds: float, *, say: Say = silent
) -> Outcome:
    """Pilots of all candidates within the budget, judged at common rows.

    Raises:
        DataError: the train part is too small to hold anything back.
    """
    _load()
    run = PilotRun(experiment, inner, Budget(seconds), say)
    first = inner.prepared(experiment.data)[0]
    seasons = find_seasons(first, experiment) if experiment.data.windows.horizon else {}
    period, proposed, units = round(experiment.model.arima.period), _proposed(findings), inner.series.n_units
    how = "in time" if inner.by_time else "of whole units"
    say(f"pilots on the train part, {len(inner.folds)} folds {how}, at most {seconds:.0f} s (--budget 0: none)")
    following = len(dear(experiment, names(), 0, proposed, period, units))
    if not experiment.data.windows.horizon:
        run.try_all([constant()], after=following)
    run.try_all(cheap(experiment, seasons, names(), inner.room, period, units), after=following)
    spec = first.spec
    unlike = spec.task == "forecast" and findings.facts.apart >= UNLIKE
    scores = _scores(run.pilots, inner, spec, unlike=unlike)
    linear = [pilot.candidate for pilot in run.pilots if pilot.candidate.name in scores and pilot.candidate.window]
    linear = [candidate for candidate in linear if candidate.kind != "reference"]
    window = min(linear, key=lambda own: scores[own.name].behind).window if linear else 0
    run.try_all(dear(experiment, names(), window, proposed, period, units))
    metric = "rmsse" if unlike else TASKS[spec.task].metric
    return Outcome(run, _scores(run.pilots, inner, spec, unlike=unlike), metric, seasons)


def _load() -> None:
    """Import what candidates need, so that none pays for it with its seconds."""
    import sklearn.ensemble  # noqa: F401

    from keras_seq.models import build  # noqa: F401
    from keras_seq.models.registry import get_family
    from keras_seq.training import fit  # noqa: F401

    for family in ("ridge", "extra_trees", "hist_gradient_boosting"):
        get_family(family)


@contextmanager
def proposal(findings: Findings) -> Iterator[Experiment]:
    """The proposed experiment, with its schema file where it has one for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        tree = write.tree(findings.choices)
        if findings.schema_text:
            schema = Path(folder) / "schema.yaml"
            schema.write_text(findings.schema_text, encoding="utf-8")
            tree["data"]["schema_file"] = str(schema)
        yield config.from_dict(tree)


def _scores(pilots: list[Pilot], inner: InnerData, spec: Any, *, unlike: bool) -> dict[str, MetricScore]:
    points = {pilot.candidate.name: pilot.points for pilot in pilots if pilot.points is not None}
    return judge(points, inner.series, spec, unlike=unlike) if points else {}


def _proposed(findings: Findings) -> Mapping[str, Any]:
    """Fields of the model that the rules propose, if it is a network."""
    if not advise.is_network(findings.facts):
        return {}
    model: dict[str, Any] = write.tree(findings.choices)["model"]
    return model


def _settle(findings: Findings, outcome: Outcome, series: Series, *, network: bool) -> None:
    """Choices of the winner; of the next best where its configuration does not train."""
    before, refused = list(findings.choices), []
    while True:
        candidate = outcome.winner(network=network)
        findings.choices = _with(before, findings, candidate, outcome, network=network)
        with proposal(findings) as experiment:
            try:
                fit_proof(experiment, prepare_series(series, experiment.data))
                break
            except KerasSeqError as error:
                refused.append(error)
        outcome.scores.pop(candidate.name)
        if not outcome.candidates:
            raise refused[0]
    findings.notes += _remarks(outcome, candidate, network=network)
    findings.pilots = table.rows(outcome.run.pilots, outcome.scores, outcome.metric)
    findings.render()


def _prove(findings: Findings, experiment: Experiment, series: Series) -> None:
    """Keep the proposal of the rules where it can be trained; else forecasts get the last value.

    Raises:
        KerasSeqError: what training would say.
    """
    prepared = prepare_series(series, experiment.data)
    try:
        fit_proof(experiment, prepared)
    except KerasSeqError as error:
        if not experiment.data.windows.horizon:
            raise
        fit_proof(config.replace(experiment, **{"model": {"family": "naive"}}), prepared)
        reason = f"the last value: {experiment.model.family} cannot be trained here"
        naive = PilotCandidate("naive", "naive", "reference")
        findings.choices = _replaced(findings.choices, naive, [Choice("model.family", "naive", reason)])
        findings.notes.append(f"{experiment.model.family} cannot be trained here, so naive is proposed: {error}")
        findings.render()


def _with(
    before: list[Choice], findings: Findings, candidate: PilotCandidate, outcome: Outcome, *, network: bool
) -> list[Choice]:
    """The proposal with a candidate's model, training and window."""
    rows = table.rows(outcome.run.pilots, outcome.scores, outcome.metric)
    lines = [*_headline(outcome), *table.lines(rows, outcome.metric, candidate.name)]
    flat = _flat(candidate.model)
    season = [choice for choice in before if choice.key == "model.arima.period" and "arima.period" in flat]
    reasons = {choice.key: choice for choice in season if flat["arima.period"] == choice.value}
    chosen = [Choice("model.family", candidate.family, why(outcome, candidate, network=network), table=tuple(lines))]
    chosen += [reasons.get(f"model.{name}", Choice(f"model.{name}", value)) for name, value in flat.items()]
    if candidate.kind == "network":
        chosen += advise.network_training(findings.facts)
    return _replaced(before, candidate, chosen)


def _replaced(before: list[Choice], candidate: PilotCandidate, chosen: list[Choice]) -> list[Choice]:
    """Choices with others of model and training in their place, and the candidate's window."""
    place = next(i for i, choice in enumerate(before) if choice.key.startswith("model."))
    rest = [choice for choice in before[place:] if not choice.key.startswith(("model.", "training."))]
    return [*(_windowed(choice, candidate) for choice in before[:place]), *chosen, *rest]


def _windowed(choice: Choice, candidate: PilotCandidate) -> Choice:
    if choice.key != "data.windows.length" or candidate.window in (0, choice.value):
        return choice
    why = f"with which {candidate.family} did best in the pilots below; by the seasons it would be {choice.value}"
    return Choice(choice.key, candidate.window, why)


def _flat(model: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in model.items():
        nested = isinstance(value, Mapping) and name == "arima"
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def _headline(outcome: Outcome) -> list[str]:
    inner, direction = outcome.run.inner, "more" if outcome.metric in HIGHER else "less"
    how = f"{len(inner.folds)} period(s) of time" if inner.by_time else f"{len(inner.folds)} folds of whole units"
    return [
        f"Pilots: trained and judged on the train part alone ({how}), {outcome.metric}, {direction} is better;",
        "+- is one standard error, behind how much worse than the best, at the same rows; * is chosen.",
    ]


HIGHER = {task.metric for task in TASKS.values() if task.higher_is_better}


def why(outcome: Outcome, candidate: PilotCandidate, *, network: bool) -> str:
    """One sentence on why a candidate is proposed."""
    score, metric = outcome.scores[candidate.name], outcome.metric
    own = f"{metric} {_with_error(score)}"
    best = min(outcome.scores.values(), key=lambda other: other.behind)
    if network and candidate.kind == "network":
        return f"the best network tried ({own}), as asked for with --network"
    if candidate.kind == "reference" and score.level:
        return f"nothing tried beats {_words(outcome, candidate)} ({own}) by more than chance"
    if score.name == best.name:
        return f"the best of the pilots ({own})"
    return f"the best of the simplest kind that is level with {best.name} ({metric} {figure(best.value)}): {own}"


def _words(outcome: Outcome, candidate: PilotCandidate) -> str:
    if candidate.family == "mean":
        return "the mean of training"
    if candidate.family == "naive":
        return "the last value"
    return outcome.seasons.get(candidate.season, f"the value {candidate.season} rows before")


def _remarks(outcome: Outcome, candidate: PilotCandidate, *, network: bool) -> list[str]:
    """Notes: the choice in a sentence, a constant answer that is as good, and Ctrl-C."""
    notes = [f"pilots: {candidate.name}, {why(outcome, candidate, network=network)}"]
    fixed = outcome.scores.get(CONSTANT)
    if fixed is not None and fixed.level:
        notes.append(
            f"nothing tried beats {CONSTANT} ({outcome.metric} {_with_error(fixed)}) by more than chance: the inputs "
            "tell little of the target, or there are too few examples"
        )
    cut = [pilot for pilot in outcome.run.pilots if pilot.remark.startswith(("stopped after", "not tried: the budget"))]
    if cut:
        notes.append(
            f"{len(cut)} of {len(outcome.run.pilots)} candidates did not end within the budget of "
            f"{outcome.run.budget.seconds / 60:.3g} minutes: --budget gives them more"
        )
    if outcome.run.interrupted:
        notes.append("the pilots were stopped by Ctrl-C; the configuration holds the best so far")
    return notes


def _with_error(score: MetricScore) -> str:
    return f"{figure(score.value)} +- {figure(score.error, 2)}" if np.isfinite(score.error) else figure(score.value)
