"""Predict from a file: ``python -m keras_seq.predict BUNDLE FILE``."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import cli, files
from keras_seq.errors import ConfigError
from keras_seq.evaluation.answered import Answers, answers_table, cut

if TYPE_CHECKING:
    import pandas as pd

    from keras_seq.data.rows import Rows
    from keras_seq.export.bundle import Bundle

BATCH = 256
DESCRIPTION = """Predict for every unit of a CSV or Parquet file, raw units in and out.

  python -m keras_seq.predict runs/fd001/seed-0 engines.csv
  python -m keras_seq.predict runs/fd001/seed-0 engines.parquet --every 1 --out answers.parquet
  tail -f engines.csv | python -m keras_seq.predict runs/fd001/seed-0 --stream

The file is read as the table of training was: its delimiter, decimal mark, dates and missing values are in the bundle's
schema. It needs the feature columns (covariates are computed) and the unit column, if training had one; other columns
are passed over. Time, where there is such a column, must rise within a unit. A unit too short for a window is named
and the others are answered; exit code 2 only if none can be. With --stream every row is answered at once from its
unit's state (one-way lstm and gru). Covariates such as lags look back beyond the window: a unit needs the rows of
both, unless --whole says that the file holds every unit from its very first row on, as training saw it.
"""


def predict_file(bundle: Bundle, path: str | Path, *, every: int = 0, whole: bool = False) -> pd.DataFrame:
    """Answers of a bundle for a file; a warning names what was not answered. See ``answer_file``."""
    answers = answer_file(bundle, path, every=every, whole=whole)
    for line in answers.warnings():
        warnings.warn(line, stacklevel=2)
    return answers.table


def answer_file(bundle: Bundle, path: str | Path, *, every: int = 0, whole: bool = False) -> Answers:
    """Answers of a bundle for a file, and what was not answered.

    Args:
        bundle: loaded bundle.
        path: CSV or Parquet file, written as the table of training.
        every: 0: one answer per unit, from its last steps; n: also every n steps before.
        whole: the file holds every unit from its very first row on, so that covariates find what they found in
            training and no further history is asked for.

    Returns:
        The table has one row per answer (and step ahead, for forecasts): unit, step or time of the last row seen, for
        forecasts ``steps_ahead`` and ``forecast_time`` (the stamp it speaks of, by the calendar of the training data),
        and ``<target>``, ``<target>_lower`` and ``<target>_upper`` (with quantiles ``<target>_q05`` ... instead of
        ``<target>``), or the calibrated ``probability`` and ``class``; see ``evaluation.answer_columns``.

    Raises:
        DataError: the file is missing, empty, lacks columns or deviates from the schema; names what and where; or no
            unit can be answered.
    """
    from keras_seq.data.table_rows import read_rows

    window = None if whole else bundle.spec.time
    rows = read_rows(path, bundle.schema, bundle.experiment.data.covariates, window=window)
    return answer_rows(bundle, rows, every=every)


def answer_rows(bundle: Bundle, rows: Rows, *, every: int = 0) -> Answers:
    """Answers for rows that are there; as ``answer_file``."""
    series, windows = rows.series, cut(rows, bundle.spec, every=every)
    output = _run(bundle, series.values, windows.start, windows.length)
    last, unit = windows.start + windows.length - 1, series.unit_ids[windows.unit]
    table = answers_table(bundle, output, unit=unit, last=rows.stamps[last], time=series.time[last], clock=rows.clock)
    return Answers(table, windows.refused, rows.notes(bundle.schema))


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


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write CSV, Parquet or JSON by its suffix, atomically."""
    with files.new_file(path) as partial:
        if path.suffix in (".parquet", ".pq"):
            table.to_parquet(partial, index=False)
        elif path.suffix == ".json":
            partial.write_text(table.to_json(orient="records", indent=2, date_format="iso") + "\n", encoding="utf-8")
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

        if bundle.schema.reading and isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding=bundle.schema.reading.encoding)
        return cli.Lines(as_values(answer(bundle, sys.stdin), bundle), lambda: stream(bundle, sys.stdin, sys.stdout))
    cli.load_tensorflow()
    answers = answer_file(bundle, options.file, every=max(options.every, 0), whole=options.whole)
    return tell(answers, options.out, {})


def tell(answers: Answers, out: str | None, fields: dict[str, Any]) -> cli.Result:
    """Write answers to a file or the terminal, with what was not answered.

    Args:
        answers: table, refused units and notes.
        out: CSV or Parquet file; None: CSV on the terminal.
        fields: more for the JSON document.
    """
    for line in answers.warnings():
        print(f"warning: {line}", file=sys.stderr)
    table = answers.table
    fields |= {"rows": len(table), "refused": [one.to_dict() for one in answers.refused], "notes": list(answers.notes)}
    if not out:
        return cli.Result(fields | {"answers": table}, lambda: table.to_csv(sys.stdout, index=False))
    write_table(table, Path(out))
    print(f"{len(table)} rows in {out}", file=sys.stderr)
    return cli.Result(fields | {"written": out})


if __name__ == "__main__":
    sys.exit(cli.run(main))
