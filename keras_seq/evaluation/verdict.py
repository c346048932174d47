"""Verdict of a comparison: the winner by statistics and costs, and the rule it won by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keras_seq.errors import ConfigError, nearest
from keras_seq.evaluation.comparison import Comparison
from keras_seq.evaluation.costs import Costs
from keras_seq.evaluation.paired import Pair
from keras_seq.figures import figure

# rule -> (cost that decides among equals, how it is said)
RULES = {
    "accuracy": (None, "the best estimate of the deciding metric"),
    "accuracy_per_latency": (
        "latency_ms_batch1",
        "among those not significantly worse than the best, the fastest at batch 1",
    ),
    "accuracy_per_size": ("size_mb", "among those not significantly worse than the best, the smallest"),
    "accuracy_per_training": (
        "training_minutes",
        "among those not significantly worse than the best, the one trained soonest",
    ),
}


@dataclass(frozen=True)
class ComparisonVerdict:
    """Winner of a comparison, its rule, and how sure it is.

    Attributes:
        winner: name.
        best: the best estimate, whoever wins.
        rivals: those not significantly worse than the best, the best included, best first.
        rule: key of ``RULES``.
        level: of significance, of adjusted p-values.
        pair: test of the winner against the next candidate: the best where it is another, else the runner-up; its
            interval is of the verdict's level.
        words: what to tell people.
    """

    winner: str
    best: str
    rivals: tuple[str, ...]
    rule: str
    level: float
    pair: Pair
    words: str

    @property
    def significant(self) -> bool:
        """The winner differs significantly from whom it is held against: the pair's interval does not hold 0."""
        return self.pair.significant(self.level)


def pick_winner(
    comparison: Comparison,
    costs: Mapping[str, Costs],
    *,
    rule: str = "accuracy_per_latency",
    level: float | None = None,
) -> ComparisonVerdict:
    """Pick a winner.

    Args:
        comparison: of at least two candidates.
        costs: by candidate; a rule that needs a cost nobody measured falls back to accuracy, and says so.
        rule: key of ``RULES``.
        level: adjusted p-values from here on do not tell two candidates apart; none: the comparison's.

    Raises:
        ConfigError: unknown rule.
    """
    if rule not in RULES:
        raise ConfigError(f"Option '--rule': there is no rule '{rule}'{nearest(rule, RULES)}")
    level = comparison.level if level is None else level
    ranked = comparison.ranked()
    best = ranked[0]
    rivals = tuple(name for name in ranked if name == best or not comparison.pair(best, name).significant(level))
    cost, _ = RULES[rule]
    price = {name: getattr(costs[name], cost) if cost and name in costs else float("nan") for name in rivals}
    known = [name for name in rivals if np.isfinite(price[name])]
    winner = min(known, key=lambda name: price[name]) if known else best
    other = best if winner != best else ranked[1]
    pair = comparison.pair(winner, other).at(level)
    words = _words(comparison, winner, best, pair, rule, level, unmeasured=bool(cost) and not known)
    return ComparisonVerdict(winner, best, rivals, rule, level, pair, words)


def _words(
    comparison: Comparison, winner: str, best: str, pair: Pair, rule: str, level: float, *, unmeasured: bool
) -> str:
    metric = comparison.measures[0].name
    estimate = comparison.estimates[best][metric]
    bounds = f"95 % interval {span(estimate.low, estimate.high)}"
    lines = [f"{best} has the best {metric}: {figure(estimate.value)} ({bounds}).", *_groups(comparison, best, level)]
    lines.append(f"Winner by the rule '{rule}' ({RULES[rule][1]}): {winner}.")
    if unmeasured:
        lines.append("What the rule asks for was not measured, so accuracy alone decided.")
    other = pair.second if pair.first == winner else pair.first
    if not pair.told:
        lines.append(f"Whether {winner} and {other} differ cannot be told ({pair.test.removeprefix('none: ')}).")
    elif pair.equal:
        lines.append(f"{winner} and {other} are equal in {metric}.")
    elif not pair.significant(level):
        lines.append(
            f"The difference between {winner} and {other} in {metric}, {figure(abs(pair.difference), 3)} "
            f"({interval_name(comparison, level)} {span(pair.low, pair.high)} for {pair.first} minus "
            f"{pair.second}), is not significant."
        )
    return " ".join(lines)


def _groups(comparison: Comparison, best: str, level: float) -> list[str]:
    """The others by what the test against the best says of them, with their p-values."""
    pairs = {name: comparison.pair(best, name) for name in comparison.ranked() if name != best}
    alike = [name for name, pair in pairs.items() if pair.told and not pair.significant(level)]
    worse = [name for name, pair in pairs.items() if pair.significant(level)]
    unknown = [name for name, pair in pairs.items() if not pair.told]
    lines = []
    if alike:
        tests = ", ".join(f"{name} (p = {_p(pairs[name].adjusted)})" for name in alike)
        lines.append(f"Not significantly worse at the level {level:g}, after Holm's correction: {tests}.")
    if worse:
        lines.append(f"Significantly worse: {', '.join(f'{name} (p = {_p(pairs[name].adjusted)})' for name in worse)}.")
    if unknown:
        tests = "; ".join(f"{name} ({pairs[name].test.removeprefix('none: ')})" for name in unknown)
        lines.append(f"Cannot be told apart from it: {tests}.")
    return lines


def interval_name(comparison: Comparison, level: float) -> str:
    """Name of the pairs' intervals; of several pairs they are as wide as the corrected tests ask."""
    corrected = f", corrected for {len(comparison.pairs)} pairs" if len(comparison.pairs) > 1 else ""
    return f"{100 * (1 - level):.4g} % interval{corrected}"


def span(low: float, high: float, between: str = " to ", digits: int = 4) -> str:
    """An interval in words; unknown where its bounds are."""
    return f"{figure(low, digits)}{between}{figure(high, digits)}" if np.isfinite([low, high]).all() else "unknown"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 1e-4 else f"{value:.1e}"
