"""Rows in, answers out, one line each in constant time: ``python -m keras_seq.predict BUNDLE --stream``."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from keras_seq import files, machine
from keras_seq.data.line_reader import LineReader
from keras_seq.errors import DataError
from keras_seq.evaluation.answer_columns import ENDS, AnswerColumns, columns_for
from keras_seq.runtime import Stepper

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle


def stream(bundle: Bundle, lines: Iterable[str], out: TextIO) -> int:
    """Answer CSV rows as they come.

    Args:
        bundle: loaded bundle of a model with a step form.
        lines: header first, then the rows of all units, each unit's in order of time.
        out: gets a header and one CSV line a row, at once.

    Returns:
        Number of rows answered.

    Raises:
        DataError: a header or a row that cannot be read; names the line.
        ExportError: the model cannot answer step by step.
    """
    writer = csv.writer(out, lineterminator="\n")
    count = 0
    for count, line in enumerate(answer(bundle, lines), 1):
        if count == 1:
            writer.writerow(line)
        writer.writerow([f"{value:.7g}" if isinstance(value, float) else value for value in line.values()])
        out.flush()
    return count


def as_values(answers: Iterable[dict[str, Any]], bundle: Bundle) -> Iterator[dict[str, Any]]:
    """The same answers with times that are numbers as numbers."""
    clock = bundle.schema.time_column
    for line in answers:
        if clock in line:
            with suppress(ValueError):
                line[clock] = float(line[clock])
        yield line


def answer(bundle: Bundle, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One answer a row, each as soon as its row is there; numbers of seven digits. Arguments as ``stream``."""
    rows = LineReader(lines, bundle.schema)
    stepper = open_stepper(bundle)
    _note(bundle)
    names: AnswerColumns | None = None
    for count, row in enumerate(rows, 1):
        try:
            answers = stepper.step(row.values, row.unit)
        except DataError as error:
            raise DataError(f"Line {row.number}: {error}") from None
        if names is None:
            levels = bundle.experiment.model.quantiles if "quantiles" in answers else ()
            names = columns_for(bundle.spec, bundle.schema, clock=rows.clock, levels=levels)
        own = {names.unit_name: row.unit, names.clock_name: count if row.clock is None else row.clock}
        yield own | _named(names, bundle, answers)


def open_stepper(bundle: Bundle) -> Stepper:
    """The step graph of the newest export of this bundle, or one built now for this process.

    Raises:
        ExportError: the model has no step form.
    """
    from keras_seq.export.record import METADATA

    digest = files.sha256(bundle.folder / "manifest.json")
    graphs = (bundle.folder.parent / "export").glob("[0-9]*/keras_seq/step.onnx")
    for path in sorted(graphs, key=lambda path: int(path.parts[-3]), reverse=True):
        metadata = path.parents[1] / METADATA
        if metadata.exists() and files.read_json(metadata).get("bundle_sha256") == digest:
            return Stepper(path)
    machine.load_tensorflow()
    from keras_seq.export.step import write_step

    with files.scratch() as folder:
        return Stepper(write_step(bundle, Path(folder) / "step.onnx").path)


def _named(names: AnswerColumns, bundle: Bundle, answers: dict[str, np.ndarray]) -> dict[str, Any]:
    """One row's answers as columns; of a forecast every step ahead has its own."""
    spec = bundle.spec
    if spec.classifies:
        number = int(answers["class"].reshape(-1)[0])
        called = {names.word("class"): spec.classes[number] if spec.classes else number}
        if spec.task == "binary":
            return {names.word("probability"): _digits(answers["probability"][0])} | called
        chances = zip(spec.classes, answers["probabilities"], strict=True)
        return {names.of_class(label): _digits(chance) for label, chance in chances} | called
    value = {name: part.reshape(max(spec.horizon, 1), len(spec.targets), -1) for name, part in answers.items()}
    line = {}
    for ahead in range(max(spec.horizon, 1)):
        for target, column in enumerate(spec.targets):
            for position, level in enumerate(names.levels):
                name = names.quantile(column, level)
                line[names.ahead(name, ahead + 1)] = _digits(value["quantiles"][ahead, target, position])
            if not names.levels:
                line[names.ahead(column, ahead + 1)] = _digits(value["prediction"][ahead, target, 0])
            ends = {side: value[side] for side in ENDS if side in value}
            line |= {
                names.ahead(names.end(column, side), ahead + 1): _digits(end[ahead, target, 0])
                for side, end in ends.items()
            }
    return line


def _digits(number: Any) -> float:
    return float(f"{float(number):.7g}")


def _note(bundle: Bundle) -> None:
    """Tell where a stream is not what the model was trained on."""
    from keras_seq.export.window_step import steps_by_window

    spec = bundle.spec
    if not (spec.per_step or spec.variable_length):
        later = "as are later rows; earlier ones read the unit's first row repeated"
        if not steps_by_window(bundle.model, spec):
            later = "later rows from the unit's whole past"
        logger.info(
            f"note: the model was trained on windows of {spec.time} rows; row {spec.time} of a unit is answered as "
            f"the window it ends, {later}"
        )
