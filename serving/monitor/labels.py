"""Delayed labels: joined with logged answers by request id, errors by version, and whether they rose.

A table of labels has the columns ``request_id``, one or more whose names begin with ``label``, and where requests hold
several rows ``row`` (from 0). Joined rows are kept under ``labels/`` as Parquet; a label that comes again replaces the
one before. Errors are mean absolute ones (several targets: in each one's deviation), for classes 1 - probability of the
true class.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import files
from keras_seq.data.line_reader import NumberReader
from keras_seq.data.reading.labels import own_text
from keras_seq.data.reading.numbers import number_of
from keras_seq.data.reading.reading import Marks, Reading
from keras_seq.errors import DataError, ExportError
from keras_seq.export.record import read_metadata
from keras_seq.export.reference import TrainingReference, errors_of, read_reference
from keras_seq.tasks import classifies
from serving.monitor.events import EventLog
from serving.monitor.extract import read_call
from serving.monitor.request_log import list_files, next_stamp, prune, read_calls
from serving.monitor.thresholds import error_stream
from serving.observers import ObservedCall

FOLDER = "labels"
SUMMARY = f"{FOLDER}/summary.json"
MOST = 256 * 2**20  # bytes of kept labels
Labels = dict[tuple[str, int], tuple[str, ...]]
FindVersion = Callable[[str, int], Path | None]


@dataclass
class LabelledAnswers:
    """A version's labelled answers.

    Attributes:
        errors: by request id and row: time of the answer and error.
    """

    errors: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)

    def in_order(self) -> list[tuple[float, float]]:
        """Time and error, oldest answer first."""
        return sorted(self.errors.values())


@dataclass(frozen=True)
class _Version:
    """What the labels of a version need: its reference, how its table was read, and its targets."""

    reference: TrainingReference
    reading: Reading
    targets: tuple[str, ...]


def read_labels(path: str | Path) -> Labels:
    """Labels of a CSV file by request id and row, as the file writes them; its header tells what separates its fields.

    Raises:
        DataError: it cannot be read, lacks a column, or a line has no row number; names the line.
    """
    labels: Labels = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            table = csv.DictReader(file, delimiter=max(",;\t|", key=header.count))
            names = [name for name in table.fieldnames or () if name and name.startswith("label")]
            if "request_id" not in (table.fieldnames or ()) or not names:
                raise DataError(
                    f"The label file '{path}' has the columns {', '.join(map(str, table.fieldnames or ())) or 'none'}; "
                    "it needs request_id, label (or label_0, label_1, ...) and, for requests of several rows, row."
                )
            for entry in table:
                key = str(entry["request_id"]), _number(entry.get("row") or "0", path, table.line_num)
                labels[key] = tuple(str(entry[name] or "") for name in names)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The label file '{path}' cannot be read: {error}.") from None
    return labels


def _number(text: str, path: str | Path, line: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise DataError(f"Line {line} of '{path}': column row must be a whole number, got '{text}'.") from None


def add_labels(
    folder: str | Path, labels: Mapping[tuple[str, int], tuple[str, ...]], where: FindVersion
) -> dict[str, Any]:
    """Join labels with the request log, keep the errors, and look whether they rose.

    Args:
        folder: of the monitor.
        labels: as ``read_labels`` gives them.
        where: folder of a version by model and number, which holds its reference.

    Returns:
        ``{"labels", "joined", "unknown", "versions": {"model/version": {...}}, "events": [...]}``.

    Raises:
        DataError: a label is no number and no class of the model; the log cannot be read.
    """
    folder, versions = Path(folder), dict[tuple[str, int], _Version | None]()
    joined, wanted = list[dict[str, Any]](), {request for request, _ in labels}
    for call in read_calls(folder):
        if call.request_id in wanted:
            joined += _join(call, labels, versions, where)
    if joined:
        _keep(folder, joined)
    matched = {(row["request_id"], row["row"]) for row in joined}
    summary, events = _judge(folder, versions, where)
    files.write_json(folder / SUMMARY, summary)
    return {
        "labels": len(labels),
        "joined": len(matched),
        "unknown": len(labels) - len(matched),
        "versions": summary["versions"],
        "events": events,
    }


def _version(
    key: tuple[str, int], versions: dict[tuple[str, int], _Version | None], where: FindVersion
) -> _Version | None:
    if key not in versions:
        place = where(*key)
        reference = read_reference(place) if place is not None else None
        versions[key] = _described(reference, Path(place)) if place is not None and reference is not None else None
    return versions[key]


def _described(reference: TrainingReference, place: Path) -> _Version:
    """A version with the reading and targets of its schema; a version without metadata has the plain ones."""
    try:
        metadata = read_metadata(place)
    except ExportError:
        return _Version(reference, Reading(), ())
    reading = metadata.get("schema", {}).get("reading")
    return _Version(reference, Reading.model_validate(reading or {}), tuple(metadata.get("targets", ())))


def _join(
    call: ObservedCall, labels: Mapping[tuple[str, int], tuple[str, ...]], versions: dict[Any, Any], where: FindVersion
) -> Iterable[dict[str, Any]]:
    version = _version((call.model, call.version), versions, where)
    if version is None:
        return
    reference = version.reference
    answers = read_call(call, reference).answers
    for row in range(0 if answers is None else len(answers)):
        label = labels.get((call.request_id, row))
        if label is None or answers is None:
            continue
        truth = _truth(label, version, call.request_id)
        task, cap = reference.facts.get("task", "regression"), reference.facts.get("target_cap")
        if not classifies(task):
            _check_width(truth, int(reference.facts.get("width", len(reference.picked))), call.request_id)
            truth = truth[list(reference.picked)]
        error = errors_of(answers[row : row + 1], truth[None], task, cap=cap)[0]
        yield {
            "request_id": call.request_id,
            "row": row,
            "time": call.time,
            "model": call.model,
            "version": call.version,
            "label": truth.tolist(),
            "answer": answers[row].tolist(),
            "error": float(error),
        }


def _check_width(truth: np.ndarray, width: int, request: str) -> None:
    if truth.size != width:
        raise DataError(
            f"The label of request '{request}' has {truth.size} numbers, the answer {width}; give one label column for "
            "each number of the answer."
        )


def _truth(label: tuple[str, ...], version: _Version, request: str) -> np.ndarray:
    """Class numbers, or numbers as the version's table writes them; NaN where the label is missing."""
    classes = list(version.reference.facts.get("classes", ()))
    by_text = {own_text(name): number for number, name in enumerate(classes)}
    if any(number_of(name, Marks()) is not None for name in classes):  # else a number could be a class or its number
        columns: list[NumberReader] = []
    else:
        targets = version.targets or ("label",)
        columns = [NumberReader(targets[place % len(targets)], version.reading) for place in range(len(label))]
    truth = []
    try:
        for place, text in enumerate(label):
            number = by_text.get(own_text(text), by_text.get(own_text(text.strip())))
            if number is not None:
                truth.append(float(number))
            else:
                truth.append(columns[place].read(text) if text.strip() else np.nan)
    except (DataError, IndexError):
        known = f" and is none of the classes {', '.join(classes)}" if classes else ""
        raise DataError(
            f"The label of request '{request}' is '{', '.join(label)}', which is no number{known}."
        ) from None
    return np.array(truth)


def _keep(folder: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = pa.list_(pa.float64())
    kinds = [("request_id", pa.string()), ("row", pa.int64()), ("time", pa.float64()), ("model", pa.string())]
    kinds += [("version", pa.int64()), ("label", numbers), ("answer", numbers), ("error", pa.float64())]
    target = folder / FOLDER
    with files.new_file(target / f"{next_stamp(target, time.time_ns()):020d}.parquet") as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), partial, compression="zstd")
    prune(target, MOST)


def outcomes(folder: str | Path) -> dict[tuple[str, int], LabelledAnswers]:
    """All kept labels by version.

    Raises:
        DataError: a file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    versions: dict[tuple[str, int], LabelledAnswers] = {}
    for path in list_files(Path(folder) / FOLDER):
        try:
            rows = pq.read_table(path, columns=["request_id", "row", "time", "model", "version", "error"]).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"The file '{path}' of labels cannot be read ({error}); remove it.") from None
        for row in rows:
            outcome = versions.setdefault((row["model"], row["version"]), LabelledAnswers())
            outcome.errors[row["request_id"], row["row"]] = (row["time"], row["error"])
    return versions


def _judge(folder: Path, known: dict[Any, Any], where: FindVersion) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Mean errors, and rises that no event has told of yet."""
    told_until, versions, events = _reported_until(folder), dict[str, Any](), list[dict[str, Any]]()
    for key, outcome in outcomes(folder).items():
        ordered, name = outcome.in_order(), f"{key[0]}/{key[1]}"
        errors = np.array([error for _, error in ordered])
        facts: dict[str, Any] = {"labels": len(errors), "error": float(np.nanmean(errors)) if len(errors) else None}
        version = _version(key, known, where)
        reference = version.reference if version is not None else None
        calibrated = error_stream(reference) if reference is not None else None
        facts["told_until"] = told_until.get(name, 0.0)
        if reference is not None and calibrated is not None:
            stream, false_alarms = calibrated
            facts |= {"reference_error": reference.facts["errors"].get("mean"), "false_alarms": false_alarms}
            for at, error in ordered:
                if stream.update(error) and at > facts["told_until"]:
                    about = {"model": key[0], "version": key[1], "of": "errors", "at": at, "false_alarms": false_alarms}
                    about |= {"error": stream.adwin.mean * stream.scale, "reference_error": facts["reference_error"]}
                    events.append(EventLog(folder).write("drift_started", **about))
                    facts["told_until"] = at
        versions[name] = facts
    return {"time": time.time(), "versions": versions}, events


def _reported_until(folder: Path) -> dict[str, float]:
    try:
        stored = files.read_json(folder / SUMMARY)["versions"]
        return {name: float(facts.get("told_until", 0.0)) for name, facts in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
