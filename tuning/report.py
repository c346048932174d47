"""One page about a study: ``report/report.html``, which needs no other file and no network."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from keras_seq import files
from keras_seq.reports import html
from tuning import pareto, plots
from tuning.history import fields, reference_of, seconds, text_of, text_of_reference
from tuning.records import Record, Study
from tuning.space import current_value

STATUSES = ("completed", "pruned", "failed", "running")
KINDS = {"completed": "", "pruned": "quiet", "failed": "bad", "running": "quiet"}  # of a row
CAPTIONS = {
    "history": "Score of every trial, and the best so far. The dashed line is the configuration itself.",
    "importance": "Share of the score's variance that each field explains, from a random forest on the completed "
    "trials (functional ANOVA after Hutter, Hoos & Leyton-Brown 2014), over the values that were tried. A field that "
    "the search soon settled varies little and so looks less important than it is.",
    "parallel": "A line is a trial, from its values to its score.",
    "slices": "Score against the value of each field. Other fields vary too, so a column's height is their doing.",
    "curves": "Training histories of the best trials; mean over folds.",
    "pareto": "Score against what a model costs; on the orange front no trial is better in both.",
    "costs": "What a trial costs besides fitting, and the worker's memory after it. Neither should grow.",
}


def write_report(study: Study) -> Path:
    """Draw the pictures and write the page; an older one is replaced.

    Returns:
        ``<study>/report/report.html``.
    """
    folder = study.folder / "report"
    drawn = plots.draw_all(study, folder)
    if costs := pareto.measured(study):
        drawn["pareto"] = pareto.draw(study, costs, folder / "pareto.png")
    return files.write_text(folder / "report.html", page(study, drawn))


def page(study: Study, pictures: dict[str, Path]) -> str:
    """The whole page as text.

    Args:
        study: read only.
        pictures: name -> PNG file; names are those of ``CAPTIONS``.
    """
    records = study.records()
    drawn = html.NOTHING.join(html.picture(pictures[name], CAPTIONS[name]) for name in CAPTIONS if name in pictures)
    sections = [
        html.PageSection("verdict", "Trained anew, against the configuration itself", _verdict(study)),
        html.PageSection("values", "Best values", _values(study)),
        html.PageSection("pictures", "Pictures", drawn),
        html.PageSection("trials", "Trials", _trials(study, records)),
    ]
    written = f"Written {time.strftime('%Y-%m-%d %H:%M')} from {study.folder}."
    return html.page(f"{study.name}: search", _summary(study, records), sections, foot=html.paragraph(written, "small"))


def _summary(study: Study, records: Sequence[Record]) -> Markup:
    counts: Counter[str] = Counter(record.status for record in records)
    best, default = study.best(), reference_of(records)
    used = sum(seconds(record) or 0.0 for record in records)
    last = max((record.ended or record.started for record in records), default=0.0)
    wall = last - min((record.started for record in records), default=0.0)
    rows = {
        "objective": f"{study.objective} of the validation part, {'higher' if study.higher else 'lower'} is better",
        "search": ", ".join(filter(None, [str(study.about.get("tuner", "")), _protocol(study)])),
        "trials": f"{len(records)}: " + ", ".join(f"{counts[name]} {name}" for name in STATUSES if counts[name]),
        "best": "no trial has completed" if best is None else f"{best.score:.5g} (trial {best.number})",
        "configuration itself": text_of_reference(default) if default else "",
        "time": f"{used / 60:.1f} minutes of trials within {wall / 60:.1f} minutes" if records else "",
    }
    return html.facts(rows)


def _protocol(study: Study) -> str:
    tuning = study.about.get("tuning", {})
    for name in ("folds", "origins"):
        if tuning.get(name):
            return f"each score over {tuning[name]} {name}"
    return ""


def _verdict(study: Study) -> Markup:
    """What the comparison on new seeds says, once ``tuning.best`` has made it."""
    path = study.folder / "report" / "comparison.json"
    return html.paragraph(files.read_json(path)["verdict"]["words"]) if path.exists() else html.NOTHING


def _values(study: Study) -> Markup:
    best = study.best()
    if best is None:
        return html.NOTHING
    tuned, rows = study.tuned(best), []
    for name in study.about.get("space", {}) or best.values:
        best_value, default_value = (
            text_of(current_value(experiment, name)) for experiment in (tuned, study.experiment)
        )
        unused = "" if name in best.values else "not used"
        rows.append([name, unused or best_value, default_value, "" if best_value == default_value else "changed"])
    return html.table(["field", "best", "configuration itself", ""], rows, caption="Values of the best trial")


def _trials(study: Study, records: Sequence[Record]) -> Markup:
    if not records:
        return html.paragraph("No trial has begun.")
    names, best = fields(records) or list(records[0].values), study.best()
    short = [name.split(".", 1)[-1] for name in names]
    rows, kinds = [], []
    for record in records:
        values = [text_of(record.values[name]) if name in record.values else "-" for name in names]
        state = record.status + (", own values" if record.default else "")
        tail = [len(record.epochs) or None, seconds(record), record.reason]
        rows.append([record.number, state, record.score, *values, *tail])
        kinds.append("best" if best and record.trial == best.trial else KINDS[record.status])
    head = ["trial", "status", study.objective, *short, "epochs", "seconds", "why"]
    return html.table(head, rows, caption="All trials; the best is marked", kinds=kinds, digits=5)
