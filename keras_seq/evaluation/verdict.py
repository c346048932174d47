"""From statistics and costs to a winner, by a rule that is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keras_seq.errors import ConfigError, nearest
from keras_seq.evaluation.comparison import Comparison, Pair
from keras_seq.evaluation.costs import Costs

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
class Verdict:
    """Who wins, by which rule, and how sure that is.

    Attributes:
        winner: name.
        best: the best estimate, whoever wins.
        rivals: those not significantly worse than the best, the best included, best first.
        rule: key of ``RULES``.
        level: of significance, of adjusted p-values.
        pair: test of the winner against the next contender: the best where it is another, else the runner-up.
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
        """The winner differs significantly from whom it is held against."""
        return bool(self.pair.adjusted < self.level)


def decide(
    comparison: Comparison, costs: Mapping[str, Costs], *, rule: str = "accuracy_per_latency", level: float = 0.05
) -> Verdict:
    """Pick a winner.

    Args:
        comparison: of at least two contenders.
        costs: by contender; a rule that needs a cost nobody measured falls back to accuracy, and says so.
        rule: key of ``RULES``.
        level: adjusted p-values from here on do not tell two contenders apart.

    Raises:
        ConfigError: unknown rule.
    """
    if rule not in RULES:
        raise ConfigError(f"Option '--rule': there is no rule '{rule}'{nearest(rule, RULES)}")
    ranked = comparison.ranked()
    best = ranked[0]
    rivals = tuple(name for name in ranked if name == best or not comparison.pair(best, name).adjusted < level)
    cost, _ = RULES[rule]
    price = {name: getattr(costs[name], cost) if cost and name in costs else float("nan") for name in rivals}
    known = [name for name in rivals if np.isfinite(price[name])]
    winner = min(known, key=lambda name: price[name]) if known else best
    other = best if winner != best else ranked[1]
    pair = comparison.pair(winner, other)
    words = _words(comparison, winner, best, rivals, pair, rule, level, unmeasured=bool(cost) and not known)
    return Verdict(winner, best, rivals, rule, level, pair, words)


def _words(
    comparison: Comparison,
    winner: str,
    best: str,
    rivals: tuple[str, ...],
    pair: Pair,
    rule: str,
    level: float,
    *,
    unmeasured: bool,
) -> str:
    metric = comparison.measures[0].name
    estimate = comparison.estimates[best][metric]
    lines = [
        f"{best} has the best {metric}: {estimate.value:.4g} (95 % interval {estimate.low:.4g} to {estimate.high:.4g})."
    ]
    worse = [name for name in comparison.ranked() if name not in rivals]
    equals = [name for name in rivals if name != best]
    if equals:
        tests = ", ".join(f"{name} (p = {_p(comparison.pair(best, name).adjusted)})" for name in equals)
        lines.append(f"Not significantly worse at the level {level:g}, after Holm's correction: {tests}.")
    if worse:
        tests = ", ".join(f"{name} (p = {_p(comparison.pair(best, name).adjusted)})" for name in worse)
        lines.append(f"Significantly worse: {tests}.")
    lines.append(f"Winner by the rule '{rule}' ({RULES[rule][1]}): {winner}.")
    if unmeasured:
        lines.append("What the rule asks for was not measured, so accuracy alone decided.")
    if not pair.adjusted < level:
        other = pair.second if pair.first == winner else pair.first
        lines.append(
            f"The difference between {winner} and {other} in {metric}, {abs(pair.difference):.3g} "
            f"(95 % interval {pair.low:.3g} to {pair.high:.3g} for {pair.first} minus {pair.second}), "
            "is not significant."
        )
    return " ".join(lines)


def _p(value: float) -> str:
    return "unknown" if not np.isfinite(value) else f"{value:.4f}" if value >= 1e-4 else f"{value:.1e}"
