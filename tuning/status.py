"""Status of a study, from another terminal while it runs or after its end."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tuning.history import default_of, text_of
from tuning.records import Record, Study

RECENT = 20  # trials that the pace is taken from
SILENT = 600.0  # seconds after which a running trial's silence is mentioned


def status_table(study: Study) -> str:
    """Trials by status, the best against the configuration itself, pace and time left, and what runs now."""
    records = study.records()
    running = [record for record in records if record.status == "running"]
    over = [record for record in records if record.status != "running"]
    wanted, all_tried = study.wanted, bool(study.about.get("exhausted"))
    counts = {name: sum(r.status == name for r in records) for name in ("completed", "pruned", "failed", "running")}
    rows = [
        ("study", f"{study.folder}"),
        ("search", f"{study.about.get('tuner', '')} on {study.objective} ({_better(study)} is better)"),
        ("trials", f"{len(over)}{f' of {wanted}' if wanted else ''}: " + _listed(counts)),
        ("space", "every value was tried" if all_tried else ""),
        ("best", _best(study, records)),
        ("pace", _pace(over, running, wanted)),
    ]
    lines = [f"{name:<8}{text}" for name, text in rows if text]
    if running:
        lines += ["", *_columns([("trial", "worker", "epoch", "time", ""), *(_running(study, r) for r in running)])]
    failed = [record for record in over if record.status == "failed"]
    if failed:
        lines += ["", f"last failure: trial {failed[-1].number}: {failed[-1].reason or 'no reason given'}"]
    return "\n".join(lines)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none begun"


def _best(study: Study, records: Sequence[Record]) -> str:
    best, default = study.best(), default_of(records)
    if best is None or best.score is None:
        return "no trial has completed"
    text = f"{best.score:.5g} (trial {best.number})"
    if default is None or default.score is None:
        return text
    if best.trial == default.trial:
        return f"{text}, the configuration itself"
    gain = (best.score - default.score) * (1 if study.higher else -1)
    share = f": {100 * gain / abs(default.score):.1f} % better" if default.score else ""
    values = ", ".join(f"{name} {text_of(value)}" for name, value in best.values.items())
    return f"{text}, the configuration itself {default.score:.5g}{share}\n{'':<8}{values}"


def _pace(over: Sequence[Record], running: Sequence[Record], wanted: int) -> str:
    """Of the latest trials, from the start of the first to the end of the last: pauses before them do not count."""
    latest = sorted((r for r in over if r.ended is not None), key=lambda r: r.ended or 0.0)[-RECENT:]
    if not latest:
        return ""
    span = max(r.ended or 0.0 for r in latest) - min(r.started for r in latest)
    if span <= 0:
        return ""
    left = max(wanted - len(over), 0)
    text = f"{60 * len(latest) / span:.2g} trials a minute"
    if not left:
        return text
    return f"{text}, about {_clock(left * span / len(latest))} left" + ("" if running else " once it goes on")


def _running(study: Study, record: Record) -> tuple[str, ...]:
    now = time.time()
    row = record.epochs[-1] if record.epochs else {}
    fold = f" of fold {int(row['fold'])}" if row.get("fold") else ""
    epoch = f"{int(row['epoch'])}{fold}" if "epoch" in row else "-"
    try:
        quiet = now - (study.folder / "trials" / f"{record.trial}.json").stat().st_mtime
    except OSError:
        quiet = 0.0
    silence = f"silent for {_clock(quiet)}; is its worker alive?" if quiet > SILENT else ""
    return str(record.number), record.worker or "-", epoch, _clock(now - record.started), silence


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _clock(seconds: float) -> str:
    """``41 s``, ``7:05`` minutes, ``2:07 h``."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def _better(study: Study) -> str:
    return "higher" if study.higher else "lower"
