"""Which input features are worth having."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_seq import config, files, tracking

logger = logging.getLogger(__name__)


def select(
    experiment: config.Experiment, *, method: str = "permutation", keep: int = 0, folds: int = 0
) -> dict[str, Any]:
    """Choose input features for every fold.

    Args:
        experiment: the configuration; its data section is read.
        method: see ``keras_seq.selection.select.METHODS``.
        keep: how many features; 0: as many as tell something.
        folds: of the non-test units; 0 keeps the configuration's single split.

    Returns:
        ``{"name", "method", "keep", "folds": [{"fold", "features", "scores", "history"}], "features"}``; the last
        are those that most folds chose.

    Raises:
        ConfigError: an unknown method or a number that does not fit.
        DataError: bad data, or a split they do not give.
    """
    from keras_seq.data.prepare import prepare, prepare_series
    from keras_seq.selection import select
    from keras_seq.selection.candidate_features import train_table

    folder = files.ensure_writable(Path(experiment.output) / f"{experiment.name}_selection")
    rows: list[dict[str, Any]] = []
    series = None
    for fold in range(max(folds, 1)):
        changes = {"data.split.folds": folds, "data.split.fold": fold} if folds else {}
        data = config.replace(experiment, **changes).data
        data = data.model_copy(
            update={"covariates": type(data.covariates)(plan_leads=())}
        )  # computed later, from what is kept
        prepared = prepare(data) if series is None else prepare_series(series, data)
        series, schema = prepared.series, prepared.series.schema
        always = [name for name in schema.targets if name in schema.features]
        if data.conditions:
            always += [schema.features[i] for i in schema.condition_indices]
        table = train_table(prepared, target_cap=data.target_cap, seed=experiment.seed)
        selection = select.select(table, schema.features, method=method, keep=keep, always=always, seed=experiment.seed)
        rows.append({"fold": data.split.fold, **selection})
        by_chance = f", {selection['noise']['expected_false']:.2g} expected by chance" if "noise" in selection else ""
        shown = f"{len(selection['features'])} of {len(schema.features)}{by_chance}"
        logger.info(f"  fold {fold}: {shown}")
    assert series is not None
    outcome: dict[str, Any] = {
        "name": experiment.name,
        "data": {"content": series.content(), "features": list(experiment.data.features)},
        "method": method,
        "keep": keep,
        "folds": rows,
        "features": _most_chosen(rows, series.schema.features, keep),
    }
    files.write_json(folder / "selection.json", outcome)
    listed = "\n".join(f"    - {name}" for name in outcome["features"])
    files.write_text(folder / "selected.yaml", f"# {method}, on training units only\ndata:\n  features:\n{listed}\n")
    if method != "none":
        draw(outcome, folder / "selection.png")
    with tracking.track(experiment, run_name=folder.name, kind="selection") as tracker:
        tracker.log_params({"event": "selection", "method": method, "data.features": outcome["features"]})
        tracker.log_folder(folder, "selection")
    return outcome


def _most_chosen(rows: Sequence[Mapping[str, Any]], features: Sequence[str], keep: int) -> list[str]:
    """Features that more than half of the folds chose; with ``keep``, the most chosen, ties by the mean score."""
    votes = Counter(name for row in rows for name in row["features"])
    if not keep:
        return [name for name in features if 2 * votes[name] > len(rows)]
    score = {name: sum(row["scores"].get(name, 0.0) for row in rows) for name in features}
    ranked = sorted((name for name in features if votes[name]), key=lambda name: (-votes[name], -score[name]))
    chosen = set(ranked[: max(keep, min(len(row["features"]) for row in rows))])
    return [name for name in features if name in chosen]


def draw(outcome: Mapping[str, Any], path: Path) -> Path:
    """Scores of each feature over the folds; for an elimination also the skill by number of features left."""
    import numpy as np
    from matplotlib.figure import Figure

    from keras_seq.drawing import BLUE, DPI, GREY

    rows = outcome["folds"]
    names = list(rows[0]["scores"])
    scores = np.array([[row["scores"][name] for name in names] for row in rows])
    order = np.argsort(scores.mean(0))
    rounds = len(rows[0]["history"]) > 1
    figure = Figure(figsize=(12 if rounds else 7, 1.2 + 0.26 * len(names)), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, 2 if rounds else 1, squeeze=False)[0]
    colours = [BLUE if names[i] in outcome["features"] else GREY for i in order]
    spread = scores.std(0)[order] if len(rows) > 1 else None
    axes[0].barh([names[i] for i in order], scores.mean(0)[order], xerr=spread, color=colours, ecolor="black")
    over = f" (mean and deviation over {len(rows)} folds)" if len(rows) > 1 else ""
    axes[0].set(xlabel=f"score by {outcome['method']}{over}; blue: chosen")
    axes[0].tick_params(labelsize=8)
    if rounds:
        for row in rows:
            counts = [len(one["features"]) for one in row["history"]]
            axes[1].plot(counts, [one["skill"] for one in row["history"]], marker="o", label=f"fold {row['fold']}")
        axes[1].set(xlabel="features left", ylabel="skill on held-out training units")
        axes[1].legend(fontsize=8)
    figure.suptitle(f"{outcome['name']}: {len(outcome['features'])} of {len(names)} features chosen", fontsize=10)
    with files.new_file(path) as partial:
        figure.savefig(partial)
    return path
