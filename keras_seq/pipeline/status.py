"""What the tracking store knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_seq.figures import figure

DEFAULT = "sqlite:///mlflow.db"
EVENTS = "events.jsonl"


def status(uri: str = DEFAULT, *, monitor: str | Path | None = None) -> dict[str, Any]:
    """The summary as plain values.

    Args:
        uri: of the store.
        monitor: folder of a watcher whose events file is read too; None: ``monitor`` if it is there.

    Returns:
        What ``tracking_queries.summarise`` gives, and ``uri``, and ``watcher``: newest events by kind.

    Raises:
        ConfigError: there is no such store, or no events file in ``monitor``.
    """
    from keras_seq import tracking
    from keras_seq.tracking import queries

    watcher = newest_events(monitor)
    return {"uri": uri} | queries.summarise(tracking.open_store(uri)) | {"watcher": watcher}


def newest_events(folder: str | Path | None) -> dict[str, Any]:
    """The newest event of every kind in a watcher's folder; empty where none is given and none lies in ``monitor``.

    Raises:
        ConfigError: the folder that was given has no events file.
    """
    from keras_seq.errors import ConfigError
    from keras_seq.reports.sources import read_lines

    path = Path(folder or "monitor") / EVENTS
    if not path.is_file():
        if folder is None:
            return {}
        raise ConfigError(
            f"Option '--monitor': '{folder}' holds no {EVENTS}. Give the folder that the monitor writes to."
        )
    newest: dict[str, Any] = {}
    for record in read_lines(path):
        if isinstance(record.get("event"), str):
            newest[record["event"]] = record
    return newest


def to_text(summary: Mapping[str, Any]) -> str:
    """The summary for people."""
    lines = [f"store {summary['uri']}"]
    if not summary["experiments"]:
        lines.append("  no run is recorded yet")
    for experiment in summary["experiments"]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(experiment["kinds"].items()))
        extra = "".join(f", {experiment[key]} {key}" for key in ("running", "failed") if experiment[key])
        lines.append(
            f"\n{experiment['name']}: {experiment['runs']} run{'s' if experiment['runs'] > 1 else ''} ({kinds}){extra}"
        )
        if best := experiment["best"]:
            family = f" {best['family']}" if best["family"] else ""
            numbers = ", ".join(
                f"{part.replace('_', ' ')} {figure(best[part])}"
                for part in ("validation", "test", "baseline_test")
                if best[part] is not None
            )
            lines.append(f"  best: {best['run']}{family} of {best['started']}: {best['metric']} {numbers}")
    lines.append("\nregistered models" if summary["models"] else "\nno model is registered")
    for model in summary["models"]:
        aliases = ", ".join(f"{name} = {version}" for name, version in sorted(model["aliases"].items())) or "no alias"
        lines.append(f"  {model['name']}: {model['versions']} versions, newest {model['newest']}; {aliases}")
    lines += _events(summary)
    return "\n".join(lines)


def _events(summary: Mapping[str, Any]) -> list[str]:
    lines = []
    if one := summary["comparison"]:
        lines.append(f"\nlast comparison, {one['started']}, {one['run']}: {one['words'] or one['winner']}")
    if one := summary["study"]:
        best = "no score yet" if one["best"] is None else f"best {one['objective']} {figure(one['best'])}"
        trials = ", ".join(
            f"{one[key]} {key}" for key in ("completed", "pruned", "failed") if one[key] not in (None, "0")
        )
        lines.append(
            f"\nlast study, {one['started']}, {one['run']}: {one['tuner']}, {best}{', ' if trials else ''}{trials}"
        )
    for kind in ("drift", "retraining"):
        if one := summary[kind]:
            facts = {k: v for k, v in one.items() if k not in ("experiment", "run", "run_id", "started", "event")}
            lines.append(f"\nlast {kind}, {one['started']}, {one['run']}: {_told(facts)}")
        else:
            lines.append(f"\nno {kind} on record")
    for kind, one in summary["watcher"].items():
        facts = {key: value for key, value in one.items() if key not in ("id", "time", "event")}
        lines.append(f"\nwatcher's last '{kind}', {_clock(one.get('time'))}: {_told(facts)}")
    return lines


def _told(facts: Mapping[str, Any]) -> str:
    words = (f"{key} {figure(value)}" for key, value in facts.items())
    return ", ".join(words)[:600]


def _clock(value: Any) -> str:
    import time

    if isinstance(value, int | float) and not isinstance(value, bool):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    return str(value or "")
