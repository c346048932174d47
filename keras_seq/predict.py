"""Predict from a file: ``python -m keras_seq.predict BUNDLE FILE``."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import cli, files
from keras_seq.data.calendar import forecast_stamps
from keras_seq.data.covariates.history import History, check_rows, history_rows
from keras_seq.data.observe_calendar import check_steps
from keras_seq.errors import ConfigError, DataError, nearest
from keras_seq.evaluation.answer_columns import ENDS, AnswerColumns, columns_for

if TYPE_CHECKING:
    import pandas as pd

    from keras_seq.data.spec import DataSpec
    from keras_seq.export.bundle import Bundle

BATCH = 256
DESCRIPTION = """Predict for every unit of a CSV or Parquet file, raw units in and out.

  python -m keras_seq.predict runs/fd001/seed-0 engines.csv
  python -m keras_seq.predict runs/fd001/seed-0 engines.parquet --every 1 --out answers.parquet
  tail -f engines.csv | python -m keras_seq.predict runs/fd001/seed-0 --stream

The file needs the feature columns of the bundle's schema (covariates are computed); the unit column tells the
units apart (without it the whole file is one unit), the time column, where there is one, must rise within a unit.
Covariates such as lags look back beyond the window: a unit needs the rows of both (the error says how many), unless
--whole says that the file holds every unit from its very first row on, as training saw it.
With --stream every row is answered at once from its unit's state (one-way lstm and gru).
"""


def predict_file(bundle: Bundle, path: str | Path, *, every: int = 0, whole: bool = False) -> pd.DataFrame:
    """Answers of a bundle for a file.

    Args:
        bundle: loaded bundle.
        path: CSV or Parquet file.
        every: 0: one answer per unit, from its last steps; n: also every n steps before.
        whole: the file holds every unit from its very first row on, so that covariates find what they found in
            training and no further history is asked for.

    Returns:
        One row per answer (and step ahead, for forecasts): unit, step or time of the last row seen, for forecasts
        ``steps_ahead`` and ``forecast_time`` (the stamp it speaks of, by the calendar of the training data), and
        ``<target>``, ``<target>_lower`` and ``<target>_upper`` (with quantiles ``<target>_q05`` ... instead of
        ``<target>``), or the calibrated ``probability`` and ``class``; see ``evaluation.answer_columns``.

    Raises:
        DataError: the file is missing, empty or lacks columns, or a unit has fewer rows than window and covariates
            read; names them.
    """
    table = read_table(Path(path))
    full = with_covariates(table, bundle, Path(path), whole=whole)
    values, offsets, names = to_units(full, bundle, Path(path))
    start, length, unit = cut(offsets, bundle, every, 0 if whole or full is table else lookback(bundle))
    output = _run(bundle, values, start, length)
    return answers_table(bundle, table, output, start + length - 1, names[unit])


def read_table(path: Path) -> pd.DataFrame:
    """Read CSV or Parquet by its suffix."""
    import pandas as pd

    if not path.is_file():
        raise DataError(f"File '{path}' does not exist.")
    try:
        table = pd.read_parquet(path) if path.suffix in (".parquet", ".pq") else pd.read_csv(path)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(
            f"File '{path}' cannot be read as {path.suffix or 'CSV'}: {str(error).splitlines()[0]}."
        ) from None
    if table.empty:
        raise DataError(f"File '{path}' holds no rows.")
    return table


def to_units(table: pd.DataFrame, bundle: Bundle, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature rows ``(rows, features)`` float32, unit offsets ``(units + 1,)`` and unit names ``(units,)``."""
    schema = bundle.schema
    missing = [name for name in bundle.spec.features if name not in table.columns]
    if missing:
        raise DataError(
            f"File '{path}' lacks {len(missing)} of {len(bundle.spec.features)} feature columns, first '{missing[0]}'"
            f"{nearest(missing[0], map(str, table.columns))}"
        )
    for name in bundle.spec.features:
        if table[name].dtype.kind not in "fiub":
            raise DataError(f"Column '{name}' of '{path}' must be numeric, got text such as {table[name].iloc[0]!r}.")
    values = table[list(bundle.spec.features)].to_numpy(np.float32)
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise DataError(f"Row {row + 1} of '{path}' has an infinite '{bundle.spec.features[column]}'; leave it empty.")
    if np.isnan(values).any() and bundle.spec.impute == "none":
        row, column = np.argwhere(np.isnan(values))[0]
        raise DataError(
            f"Row {row + 1} of '{path}' misses '{bundle.spec.features[column]}' and the model was trained without "
            "imputation; fill it, or train with --data.impute forward."
        )
    offsets, names = _file_units(table, bundle, path)
    _check_time(table, schema.time_column, offsets, names, path)
    if schema.time_column in table.columns:
        check_steps(schema.calendar, _clock(table, schema.time_column), offsets, names, path)
    return values, offsets, names


def with_covariates(table: pd.DataFrame, bundle: Bundle, path: Path, *, whole: bool = False) -> pd.DataFrame:
    """The table with the covariates the model was trained with, computed as they were then.

    A table that holds all of the model's features is left as it is.

    Raises:
        DataError: a unit has fewer rows than window and covariates read, unless ``whole`` says that they are all its
            rows; the time column is missing.
    """
    from keras_seq.data.covariates.add import add_covariates, wanted
    from keras_seq.data.series import Series

    config, features = bundle.experiment.data.covariates, bundle.spec.features
    own = [name for name in features if name in table.columns]
    numbers = own and all(table[name].dtype.kind in "fiub" for name in own)
    if not wanted(config) or not numbers or len(own) == len(features):
        return table  # what is missing or text is told by to_units
    offsets, names = _file_units(table, bundle, path)
    check_rows(np.diff(offsets), names, bundle.spec.time, 0 if whole else lookback(bundle), config, path)
    _check_time(table, bundle.schema.time_column, offsets, names, path)
    columns = tuple(column for column in bundle.schema.columns if column.name in own)
    nothing = np.full((len(table), len(bundle.schema.targets)), np.nan, np.float32)
    series = Series(
        schema=bundle.schema.model_copy(update={"columns": columns, "target_per": "step"}),
        values=table[[column.name for column in columns]].to_numpy(np.float32),
        targets=nothing,
        offsets=offsets,
        unit_ids=names,
        groups=names,
        time=_stamps(table, bundle, path),
        official=np.full(len(names), ""),
    )
    full = add_covariates(series, config)
    added = dict(zip(full.schema.features[len(columns) :], full.values[:, len(columns) :].T, strict=True))
    for column in bundle.schema.columns:  # a holiday that no year of the file has
        if column.known_ahead and config.holidays and column.name not in added:
            added[column.name] = np.zeros(len(table), np.float32)
    return table.assign(**added)


def _stamps(table: pd.DataFrame, bundle: Bundle, path: Path) -> np.ndarray:
    """Times of the rows ``(rows,)`` for covariates, which go on by the calendar of training.

    Raises:
        DataError: there are none, or not of the kind that training had.
    """
    config, schema = bundle.experiment.data.covariates, bundle.schema
    time = _clock(table, schema.time_column)
    ahead = bool(config.calendar or config.holidays or config.events)
    if not (ahead or (config.stl and schema.calendar)):
        return time
    kind = "numbers" if schema.calendar and schema.calendar.numbers else "dates"
    lacks = schema.time_column not in table.columns
    if lacks or (kind == "dates") != (time.dtype.kind == "M"):
        raise DataError(
            f"The model's covariates read {kind} in the time column '{schema.time_column}', which '{path}' "
            f"{'lacks' if lacks else 'does not hold there'}; give it as the training data have it."
        )
    if schema.calendar is None:
        print(
            "note: the bundle does not keep how its stamps go on; the file's own tell it. Train again.", file=sys.stderr
        )
    return time


def lookback(bundle: Bundle) -> History:
    """Rows before a window that its covariates read, or "unit": all from the unit's first row on."""
    schema = bundle.schema
    kept = schema.history
    return history_rows(bundle.experiment.data.covariates, schema.calendar) if kept is None else kept


def _clock(table: pd.DataFrame, column: str | None) -> np.ndarray:
    """Times of the rows: numbers, dates as datetime64, or the row number where there is no such column."""
    import pandas as pd

    if column not in table.columns:
        return np.arange(len(table), dtype=np.float64)
    time = table[column]
    if time.dtype.kind in "fiu":
        return time.to_numpy(np.float64)
    return pd.to_datetime(time, errors="coerce").to_numpy("datetime64[ns]")


def _file_units(table: pd.DataFrame, bundle: Bundle, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Offsets ``(units + 1,)`` and names ``(units,)`` of the units of a file."""
    if bundle.schema.unit_column in table.columns:
        return _units(table[bundle.schema.unit_column].to_numpy(), path)
    return np.array([0, len(table)]), np.array([path.stem])


def _units(unit: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    first = np.flatnonzero(np.concatenate([[True], unit[1:] != unit[:-1]]))
    names = unit[first].astype(str)
    if len(set(names)) != len(names):
        doubled = next(name for name in names if (names == name).sum() > 1)
        raise DataError(f"Rows of unit '{doubled}' are not together in '{path}'; sort the file by unit, then time.")
    return np.concatenate([first, [len(unit)]]), names


def cut(
    offsets: np.ndarray, bundle: Bundle, every: int, before: History = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows that end at each unit's last row, and every ``every`` rows before: start, length, unit.

    Windows with fewer than ``before`` rows of their unit before them are left out.

    Raises:
        DataError: a unit is shorter than a window of fixed length.
    """
    ends = [
        np.arange(high, low, -every)[::-1] if every else np.array([high]) for low, high in itertools.pairwise(offsets)
    ]
    end, unit = np.concatenate(ends), np.repeat(np.arange(len(ends)), [len(of_unit) for of_unit in ends])
    start = np.maximum(offsets[unit], end - bundle.spec.time)
    length = end - start
    if not bundle.spec.variable_length:
        whole = length == bundle.spec.time
        if not whole[np.flatnonzero(np.diff(unit, append=-1))].all():
            short = int(unit[np.argmin(length)])
            raise DataError(
                f"Unit number {short + 1} has {offsets[short + 1] - offsets[short]} rows, the model's window needs "
                f"{bundle.spec.time}; give it more history or train with variable length."
            )
        start, length, unit = start[whole], length[whole], unit[whole]
    if before:
        known = start - offsets[unit] >= before
        start, length, unit = start[known], length[known], unit[known]
    return start, length, unit


def _check_time(table: Any, column: str | None, offsets: np.ndarray, names: np.ndarray, path: Path) -> None:
    if column not in table.columns:
        return
    import pandas as pd

    time = table[column]
    if time.dtype.kind not in "fiuM":
        time = pd.to_datetime(time, errors="coerce")
    clock = time.to_numpy()
    falls = np.flatnonzero(~(clock[1:] > clock[:-1])) + 1
    falls = np.setdiff1d(falls, offsets)
    if len(falls):
        unit = names[np.searchsorted(offsets, falls[0], side="right") - 1]
        raise DataError(
            f"Time column '{column}' of '{path}' does not rise at row {falls[0] + 1} (unit '{unit}'); sort it."
        )


def _run(bundle: Bundle, values: np.ndarray, start: np.ndarray, length: np.ndarray) -> dict[str, np.ndarray]:
    import tensorflow as tf

    from keras_seq.export.saved_model import served

    quantiles = bundle.experiment.model.quantiles
    served_graph = served(bundle.model, bundle.spec, decision=bundle.decision, quantiles=quantiles)
    graph = tf.function(served_graph.function, input_signature=served_graph.signature)
    parts = []
    for low in range(0, len(start), BATCH):
        first, count = start[low : low + BATCH], length[low : low + BATCH]
        steps = np.arange(count.max())
        rows = np.minimum(first[:, None] + steps, len(values) - 1)
        batch = np.where((steps < count[:, None])[..., None], values[rows], np.float32(0))
        inputs = [batch, count.astype(np.int32)] if bundle.spec.variable_length else [batch]
        parts.append({name: tensor.numpy() for name, tensor in graph(*inputs).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def answers_table(bundle: Bundle, table: Any, output: dict[str, np.ndarray], row: np.ndarray, unit: np.ndarray) -> Any:
    """Answers beside what names them.

    Args:
        bundle: with the spec and the schema.
        table: the rows that were answered for.
        output: answers by name, ``(n, ...)``.
        row: of the table, the last that each answer has seen ``(n,)``.
        unit: name of each answer's unit ``(n,)``.

    Returns:
        As ``predict_file``.
    """
    import pandas as pd

    spec, schema = bundle.spec, bundle.schema
    clock = schema.time_column if schema.time_column in table.columns else None
    levels = bundle.experiment.model.quantiles if "quantiles" in output else ()
    names = columns_for(spec, schema, clock=clock, levels=levels)
    last = table[clock].to_numpy()[row] if clock else row + 1
    answers: dict[str, Any] = {names.unit_name: unit, names.clock_name: last}
    if spec.task in ("binary", "multiclass"):
        return pd.DataFrame(answers | _class_columns(names, spec, output))
    steps = max(spec.horizon, 1)
    if spec.horizon:
        answers = {name: np.repeat(value, steps) for name, value in answers.items()}
        answers[names.word("steps_ahead")] = np.tile(np.arange(1, steps + 1), len(row))
        if clock and schema.calendar is not None:
            stamps = forecast_stamps(schema.calendar, _clock(table[[clock]].iloc[row], clock), steps, unit)
            whole = table[clock].dtype.kind in "iu" and bool((stamps == np.floor(stamps)).all())
            answers[names.word("forecast_time")] = stamps.astype(np.int64) if whole else stamps
    value = {name: output[name].reshape(len(row) * steps, len(spec.targets), -1) for name in output}
    return pd.DataFrame(answers | _value_columns(names, value))


def _class_columns(names: AnswerColumns, spec: DataSpec, output: dict[str, np.ndarray]) -> dict[str, Any]:
    number = output["class"].reshape(-1)
    if spec.task == "binary":
        columns = {names.word("probability"): output["probability"][:, 0]}
    else:
        columns = {names.of_class(label): output["probabilities"][:, i] for i, label in enumerate(spec.classes)}
    return columns | {names.word("class"): np.array(spec.classes)[number] if spec.classes else number}


def _value_columns(names: AnswerColumns, value: dict[str, np.ndarray]) -> dict[str, Any]:
    """Columns of ``value``: answers by name ``(rows, targets, levels or 1)``."""
    columns: dict[str, Any] = {}
    for number, target in enumerate(names.targets):
        for position, level in enumerate(names.levels):
            columns[names.quantile(target, level)] = value["quantiles"][:, number, position]
        if not names.levels:
            columns[target] = value["prediction"][:, number, 0]
        for side in ENDS:
            if side in value:
                columns[names.end(target, side)] = value[side][:, number, 0]
    return columns


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write CSV or Parquet by its suffix, atomically."""
    with files.new_file(path) as partial:
        if path.suffix in (".parquet", ".pq"):
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False)


@cli.command("keras_seq.predict")
def main(argv: Sequence[str]) -> cli.Result | cli.Lines:
    """Command line."""
    parser = cli.Parser(prog="python -m keras_seq.predict", description=DESCRIPTION)
    parser.add_argument("bundle", help="bundle or run folder")
    parser.add_argument("file", nargs="?", help="CSV or Parquet file")
    parser.add_argument("--out", help="CSV or Parquet file to write; default: CSV on the terminal")
    parser.add_argument("--every", type=int, default=0, help="also answer every n steps (0: only at the end)")
    parser.add_argument("--whole", action="store_true", help="the file holds every unit from its first row on")
    parser.add_argument("--stream", action="store_true", help="answer each CSV row of standard input as it comes")
    options = parser.parse_args(argv)
    if options.stream == bool(options.file) or (options.stream and (options.out or options.every or options.whole)):
        raise ConfigError("Give either a file or --stream, which reads standard input and takes no other option.")
    from keras_seq.export.bundle import load_bundle

    bundle = load_bundle(options.bundle)
    if options.stream:
        from keras_seq.stream import answer, as_values, stream

        return cli.Lines(as_values(answer(bundle, sys.stdin), bundle), lambda: stream(bundle, sys.stdin, sys.stdout))
    cli.load_tensorflow()
    answers = predict_file(bundle, options.file, every=max(options.every, 0), whole=options.whole)
    if options.out:
        write_table(answers, Path(options.out))
        print(f"{len(answers)} rows in {options.out}", file=sys.stderr)
        return cli.Result({"rows": len(answers), "written": options.out})
    return cli.Result({"rows": len(answers), "answers": answers}, lambda: answers.to_csv(sys.stdout, index=False))


if __name__ == "__main__":
    sys.exit(cli.run(main))
