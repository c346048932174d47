"""Rows of a set for the peers, and our answers to the same: a child of ``scripts/leaderboard``.

    python scripts/leaderboard_rows.py rows made.yaml rows.npz [--data.split.test 48 ...]
    python scripts/leaderboard_rows.py answers RUN/bundle rows.npz answers.npz

``rows.npz`` holds what any library can read. Of answers to whole sequences or to every row, kind "windows":
``x_train, x_test`` float32 ``(windows, time, features)``, NaN where missing or behind the end, ``length_*``, ``y_*``;
training and validation rows are one, as the peers need none to stop by. Of forecasts, kind "forecast": ``values
(rows, columns)``, ``offsets (units + 1,)``, ``end (units,)`` of what may be learnt from, ``origins`` (absolute row of
the last step seen), ``truth (origins, horizon)``, ``hours`` since 1970 of every row (or row numbers), and in ``meta``
the number of the target's column, those known ahead, horizon and window.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ORIGINS = 400  # forecasts judged, evenly chosen among all test windows
MOST_WINDOWS = 20_000  # training windows that are handed out


def main() -> None:
    what, *words = sys.argv[1:]
    if what == "rows":
        made, out, *options = words
        rows = _rows(Path(made), options)
        np.savez_compressed(out, **rows)
    else:
        bundle, rows_file, out = words
        np.savez_compressed(out, answers=_answers(Path(bundle), Path(rows_file)))


def _rows(made: Path, options: list[str]) -> dict[str, Any]:
    from keras_seq import cli, config
    from keras_seq.data.prepare import prepare

    experiment = config.load(made, cli.read_overrides(options))
    prepared = prepare(experiment.data)
    return _forecast_rows(prepared) if prepared.spec.horizon else _window_rows(prepared)


def _window_rows(prepared: Any) -> dict[str, Any]:
    from keras_seq.training.predictions import locate

    series, rows = prepared.series, {}
    for name, parts in {"train": ("train", "validation"), "test": ("test",)}.items():
        x, lengths, y = [], [], []
        for part in parts:
            index = prepared.index[part]
            chosen = index.take(_evenly(len(index), MOST_WINDOWS)) if name == "train" else index.take(slice(None))
            x.append(_cut(series.values, chosen.start, chosen.length, prepared.spec.time))
            lengths.append(chosen.length)
            y.append(locate(series, chosen, prepared.spec)[0][:, 0])
        time = max(part.shape[1] for part in x)
        x = [np.pad(part, ((0, 0), (0, time - part.shape[1]), (0, 0)), constant_values=np.nan) for part in x]
        rows |= {f"x_{name}": np.concatenate(x), f"length_{name}": np.concatenate(lengths)}
        rows[f"y_{name}"] = np.concatenate(y)
    meta = {"kind": "windows", "task": prepared.spec.task, "classes": list(prepared.spec.classes or ())}
    return rows | {"meta": json.dumps(meta)}


def _cut(values: NDArray[Any], start: NDArray[Any], length: NDArray[Any], time: int) -> NDArray[np.float32]:
    """Windows ``(windows, time, features)``, NaN behind their ends."""
    time = min(time, int(length.max()))
    step = np.arange(time)
    row = np.minimum(start[:, None] + step, len(values) - 1)
    windows = np.array(values[row], np.float32)
    windows[step >= length[:, None]] = np.nan
    return windows


def _forecast_rows(prepared: Any) -> dict[str, Any]:
    from keras_seq.data.plans.channels import known_ahead
    from keras_seq.data.plans.marks import channels

    series, spec, index = prepared.series, prepared.spec, prepared.index["test"]
    target, made = series.schema.features.index(series.schema.targets[0]), channels(series.schema)
    columns = [i for i, column in enumerate(series.schema.columns) if column.name not in made]
    index = index.take(_evenly(len(index), MOST_ORIGINS))
    known = [columns.index(series.schema.features.index(name)) for name in known_ahead(series.schema)]
    end = np.array(series.offsets[1:])
    end[prepared.splits.test.units] = prepared.splits.test.first
    time = series.time
    dated = np.issubdtype(time.dtype, np.datetime64)
    meta = {
        "kind": "forecast",
        "target": columns.index(target),
        "known": known,
        "horizon": spec.horizon,
        "window": spec.time,
        "dated": bool(dated),
        "names": [series.schema.columns[i].name for i in columns],
    }
    return {
        "values": np.array(series.values[:, columns], np.float32),
        "offsets": series.offsets,
        "end": end,
        "origins": index.start + index.length - 1,
        "truth": series.targets[index.target[:, None] + np.arange(spec.horizon), 0],
        "hours": time.astype("datetime64[s]").astype(np.int64) / 3600 if dated else np.arange(len(time), dtype=float),
        "meta": json.dumps(meta),
    }


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _answers(folder: Path, rows_file: Path) -> NDArray[Any]:
    """Ours: ``(origins, horizon)`` of a forecast, class numbers or probabilities of windows."""
    from keras_seq.bundle import load_bundle
    from keras_seq.training.predictions import middle, predict_windows

    bundle = load_bundle(folder)
    prepared, experiment = bundle.prepared, bundle.experiment
    index = prepared.index["test"]
    with np.load(rows_file) as rows:
        if "origins" in rows:
            last = index.start + index.length - 1
            index = index.take(np.flatnonzero(np.isin(last, rows["origins"])))
            assert len(index) == len(rows["origins"]), "other test windows than those of the rows"
    answers = predict_windows(bundle.model, prepared.series, index, prepared.spec, experiment.data)
    if prepared.spec.horizon:
        if experiment.model.quantiles:
            answers = middle(answers, experiment.model.quantiles)
        return answers.reshape(len(index), prepared.spec.horizon, -1)[..., 0]
    return answers


if __name__ == "__main__":
    main()
