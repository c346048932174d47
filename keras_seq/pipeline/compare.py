"""Which model is better, and is that sure."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config, files, machine
from keras_seq.cli.output import plain
from keras_seq.errors import ConfigError
from keras_seq.figures import silent

if TYPE_CHECKING:
    from keras_seq.evaluation.answers import CandidateAnswers
    from keras_seq.evaluation.candidates import Candidates, ScoredPart
    from keras_seq.evaluation.comparison import Comparison
    from keras_seq.evaluation.costs import Costs
    from keras_seq.evaluation.verdict import ComparisonVerdict


@dataclass(frozen=True)
class ComparisonResult:
    """What ``compare`` gives back.

    Attributes:
        comparison: estimates and tests.
        verdict: winner and words.
        costs: by candidate; empty if not measured.
        answers: of all candidates at the judged points.
        facts: data, part, period, sizes.
        folder: where the report is.
        run_id: of the record.
    """

    comparison: Comparison
    verdict: ComparisonVerdict
    costs: dict[str, Costs]
    answers: CandidateAnswers
    facts: dict[str, Any]
    folder: Path
    run_id: str | None


def compare(
    words: Sequence[str],
    *,
    output: str | Path = "runs/comparison",
    part: ScoredPart | None = None,
    metric: str | None = None,
    rule: str = "accuracy_per_latency",
    level: float = 0.05,
    resamples: int = 2000,
    seed: int = 0,
    costs: bool = True,
    overrides: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> ComparisonResult:
    """Compare candidates and write the report.

    Args:
        words: candidates, ``[NAME=]FOLDER[,FOLDER...]``.
        output: folder of the report.
        part: "test" or "validation"; none: held-out folds where there are folds, else test.
        metric: that decides; none: the task's own (rmse, auc_pr, accuracy).
        rule: of the winner, a key of ``verdict.RULES``.
        level: of significance.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        costs: measure latency, size and memory.
        overrides: dotted options that stand in for those of every bundle.
        quiet: print nothing.

    Raises:
        ConfigError, DataError, ModelError: candidates that cannot be compared; says what differs.
    """
    from keras_seq.evaluation.answers import collect
    from keras_seq.evaluation.candidates import gather
    from keras_seq.evaluation.comparison import compare_answers, measures_of
    from keras_seq.evaluation.verdict import RULES, pick_winner

    if rule not in RULES:
        raise ConfigError(f"Option '--rule' must be one of {', '.join(RULES)}, got '{rule}'.")
    say = silent if quiet else (lambda text: print(text, file=sys.stderr, flush=True))
    candidates = gather(words, overrides or {}, part=part)
    spec = candidates.models[0].first.spec
    measures_of(spec, metric)  # a wrong name is answered before models load
    files.ensure_writable(output)
    machine.load_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a graph per model is meant, not a mistake
    answers = collect(candidates, say)
    candidates = dataclasses.replace(
        candidates, models=tuple(model for model in candidates.models if model.name in answers.predictions)
    )
    comparison = compare_answers(answers, spec, deciding=metric, resamples=resamples, seed=seed, level=level)
    measured_costs = _costs(candidates, say) if costs else {}
    verdict = pick_winner(comparison, measured_costs, rule=rule, level=level)
    facts = _facts(candidates, answers, comparison)
    folder = _write(Path(output), comparison, verdict, measured_costs, answers, facts)
    run_id = _record(candidates, comparison, verdict, measured_costs, facts, folder)
    return ComparisonResult(comparison, verdict, measured_costs, answers, facts, folder, run_id)


def _costs(candidates: Candidates, say: Any) -> dict[str, Costs]:
    from keras_seq.evaluation.answers import Preparer
    from keras_seq.export import measure_costs

    say("measuring latency, size and memory")
    prepare = Preparer()
    prepared = {candidate.name: prepare(candidate.first.experiment.data) for candidate in candidates.models}
    return measure_costs.measure(candidates.models, prepared, say=say)


def _facts(candidates: Candidates, answers: CandidateAnswers, comparison: Comparison) -> dict[str, Any]:
    """What was judged, for people and for the record."""
    import numpy as np

    first, series = candidates.models[0].first, answers.series
    train = first.data.get("statistics", {}).get("train", {})
    clock = series.time[answers.row]
    period = [str(edge)[:19] if clock.dtype.kind == "M" else float(edge) for edge in (clock.min(), clock.max())]
    return {
        "data": first.schema.name,
        "part": f"{candidates.part} of every fold, put together" if candidates.union else candidates.part,
        "points": len(answers.truth),
        "units": len(np.unique(answers.unit)),
        "period": f"{period[0]} to {period[1]}",
        "train units": train.get("units", ""),
        "train rows": train.get("rows", ""),
        "data fingerprint": str(first.data.get("fingerprint", ""))[:16],
        "split": str(first.data.get("split", ""))[:16],
        "deciding metric": comparison.measures[0].name,
    }


def _write(
    folder: Path,
    comparison: Comparison,
    verdict: ComparisonVerdict,
    costs: dict[str, Costs],
    answers: CandidateAnswers,
    facts: dict[str, Any],
) -> Path:
    from keras_seq.reports import comparison as report

    replicates = {name: len(of) for name, of in answers.predictions.items()}
    rows = report.table_rows(comparison, costs, replicates, _means(answers.metrics))
    files.write_text(folder / "comparison.csv", report.to_csv(rows))
    files.write_text(folder / "comparison.md", report.to_markdown(comparison, verdict, rows, facts, answers.failures))
    files.write_json(
        folder / "comparison.json",
        plain(
            {
                "winner": verdict.winner,
                "significant": verdict.significant,
                "verdict": {key: value for key, value in dataclasses.asdict(verdict).items() if key != "winner"},
                "facts": facts,
                "contenders": rows,
                "pairs": [dataclasses.asdict(pair) for pair in comparison.pairs],
                "notes": comparison.notes,
                "failures": [
                    {"contender": failure.name, "folder": failure.folder, "reason": failure.reason}
                    for failure in answers.failures
                ],
            }
        ),
    )
    report.draw(comparison, folder / "comparison.png")
    return folder


def _means(metrics: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Every metric of ``judge``, mean over replicates, by candidate."""
    return {
        name: {key: sum(of[key] for of in replicates) / len(replicates) for key in replicates[0]}
        for name, replicates in metrics.items()
    }


def _record(
    candidates: Candidates,
    comparison: Comparison,
    verdict: ComparisonVerdict,
    costs: dict[str, Costs],
    facts: dict[str, Any],
    folder: Path,
) -> str | None:
    from keras_seq import tracking

    metric = comparison.measures[0].name
    winner = comparison.estimates[verdict.winner][metric]
    experiment = config.replace(
        candidates.models[0].first.experiment, output=str(folder.parent)
    )  # not into what it copies
    with tracking.track(experiment, run_name=f"comparison-{folder.name}", kind="comparison") as tracker:
        tracker.log_params(
            {"winner": verdict.winner, "rule": verdict.rule, "test": verdict.pair.test, "words": verdict.words}
            | {"contenders": ", ".join(comparison.estimates), "significant": verdict.significant}
            | {key.replace(" ", "_"): value for key, value in facts.items()}
        )
        numbers = {
            "p_value": verdict.pair.p_value,
            "p_value_adjusted": verdict.pair.adjusted,
            "difference_low": verdict.pair.low,
            "difference_high": verdict.pair.high,
            f"winner_{metric}": winner.value,
            f"winner_{metric}_low": winner.low,
            f"winner_{metric}_high": winner.high,
            "points": float(facts["points"]),
            "units": float(facts["units"]),
        }
        for position, name in enumerate(comparison.ranked()):
            numbers |= {f"rank{position + 1}_{key}": e.value for key, e in comparison.estimates[name].items()}
            if name in costs:
                numbers |= {f"rank{position + 1}_{key}": value for key, value in costs[name].to_dict().items()}
        tracker.log_metrics(numbers)
        tracker.log_folder(folder, "comparison")
        return tracker.run_id
