"""What each component is worth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_seq import config, files, machine, tracking
from keras_seq.errors import KerasSeqError
from keras_seq.pipeline.crossval import crossval
from keras_seq.pipeline.reuse import refuse_mixed

logger = logging.getLogger(__name__)


def ablate(
    experiment: config.Experiment,
    *,
    off: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    folds: int = 0,
    workers: int = 1,
    part: str = "validation",
) -> dict[str, Any]:
    """Train the full model and one variant per component.

    Args:
        experiment: the configuration.
        off: components; empty: all that are on.
        seeds: of training, at least 2 for an interval.
        folds: of the non-test units; 0 keeps the configuration's single split.
        workers: runs at a time.
        part: on which the difference counts; "test" only where nothing will be decided by it.

    Returns:
        ``{"name", "part", "seeds", "folds", "components": {name: comparison}, "failed": {name: reason}}``.

    Raises:
        ConfigError: unknown components, or none is on.
        KerasSeqError: the full model cannot be trained.
    """
    machine.load_tensorflow()
    from keras_seq.evaluation import ablation
    from keras_seq.models.registry import resolve_experiment

    experiment = resolve_experiment(experiment)
    task = _task(experiment)
    variants = ablation.variants(experiment, task, off)
    folder = files.ensure_writable(Path(experiment.output) / f"{experiment.name}_ablation")
    base = config.replace(experiment, output=str(folder), **{"evaluation.baseline": False})

    folders: list[str] = []

    def runs(name: str, changes: Mapping[str, Any]) -> list[dict[str, Any]]:
        logger.info(f"{name}: {dict(changes) or 'as configured'}")
        one = config.replace(base, name=name, **changes)
        rows: list[dict[str, Any]] = crossval(one, folds=folds, seeds=seeds, workers=workers)["runs"]
        folders.extend(row["folder"] for row in rows)
        return rows

    full = runs("full", {})
    components: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, changes in variants.items():
        try:
            row = ablation.compare(full, runs(f"without_{name}", changes), task, part)
            components[name] = row | {"changes": changes}
        except KerasSeqError as error:  # a variant the family cannot build leaves the others standing
            failed[name] = str(error)
            logger.info(f"  left out: {error}")
    refuse_mixed(folders, "keras_seq.ablate")
    if not components:
        raise KerasSeqError(f"No component could be ablated. {' '.join(failed.values())}")
    outcome: dict[str, Any] = {
        "name": experiment.name,
        "part": part,
        "seeds": list(seeds),
        "folds": folds,
        "components": components,
        "failed": failed,
    }
    files.write_json(folder / "ablation.json", outcome)
    files.write_text(folder / "ablation.md", ablation.to_markdown(outcome))
    draw(outcome, folder / "ablation.png")
    with tracking.track(experiment, run_name=folder.name, kind="ablation") as tracker:
        tracker.log_params({"event": "ablation", "part": part, "seeds": ",".join(map(str, seeds))})
        tracker.log_metrics({f"gain_{name}": row["gain"] for name, row in outcome["components"].items()})
        tracker.log_files(sorted(folder.glob("ablation.*")), "ablation")
    return outcome


def _task(experiment: config.Experiment) -> str:
    """The task of the data, read without training."""
    if experiment.data.task is not None:
        return experiment.data.task
    from keras_seq.data.prepare import prepare

    return prepare(experiment.data).spec.task


def draw(outcome: Mapping[str, Any], path: Path) -> Path:
    """Bars of what each component gains, the most useful on top, with intervals over seeds."""
    import math

    from matplotlib.figure import Figure

    from keras_seq.drawing import BLUE, DPI, GREY, ORANGE

    rows = sorted(outcome["components"].items(), key=lambda item: item[1]["gain"])
    metric = rows[0][1]["metric"]
    gains = [row["gain"] for _, row in rows]
    halves = [0.0 if math.isnan(row["high"]) else (row["high"] - row["low"]) / 2 for _, row in rows]
    figure = Figure(figsize=(7, 1.4 + 0.38 * len(rows)), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    colours = [{"helps": BLUE, "hurts": ORANGE}.get(row["verdict"], GREY) for _, row in rows]
    axis.barh([name for name, _ in rows], gains, xerr=halves, color=colours, ecolor="black", capsize=3)
    axis.axvline(0, color="black", linewidth=0.8)
    count = rows[0][1]["n"]
    over = f", 95 % intervals over {count} seeds" if count > 1 else ", one seed"
    axis.set(xlabel=f"loss of {metric} on {outcome['part']} without it{over}")
    axis.set_title(f"{outcome['name']}: what each component is worth (full {rows[0][1]['full']:.3f})", fontsize=10)
    with files.new_file(path) as partial:
        figure.savefig(partial)
    return path
