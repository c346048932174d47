"""neuralforecast: ``python forecasts_neural.py rows.npz answers.npz NHITS|NLinear|PatchTST SEASON``.

A look-back of two seasons or twice the horizon, series scaled apart, 500 steps at most with early stopping; NHITS
is told what is known ahead.
"""

from __future__ import annotations

import logging
import sys
import warnings

import numpy as np
import pandas as pd
from forecast_rows import ForecastRows, read
from neuralforecast import NeuralForecast, models

STEPS = 500


def frame(rows: ForecastRows, parts: list[tuple[str, int, int]]) -> pd.DataFrame:
    tables = []
    for name, low, high in parts:
        ahead = rows.ahead(np.arange(low, high))
        table = {"unique_id": name, "ds": np.arange(low, high), "y": rows.y[low:high].astype(np.float32)}
        tables.append(pd.DataFrame(table | {f"k{i}": ahead[:, i] for i in range(ahead.shape[1])}))
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows_file, out, method, season = sys.argv[1:]
    rows = read(rows_file)
    shortest = int((rows.end - rows.offsets[:-1]).min())
    back = max(2 * int(season) if int(season) <= 200 else int(season), 2 * rows.horizon, 24)
    back = max(2, min(back, shortest - 3 * rows.horizon))
    known = [f"k{i}" for i in range(rows.ahead(rows.origins[:1]).shape[1])]
    options = {"futr_exog_list": known} if known and method == "NHITS" else {}
    model = getattr(models, method)(
        h=rows.horizon,
        input_size=back,
        max_steps=STEPS,
        scaler_type="robust" if method == "NHITS" else "identity",
        early_stop_patience_steps=5,
        val_check_steps=50,
        random_seed=0,
        accelerator="cpu",
        enable_progress_bar=False,
        logger=False,
        enable_checkpointing=False,
        **options,
    )
    forecast = NeuralForecast(models=[model], freq=1, local_scaler_type="standard")
    ends = zip(rows.offsets[:-1], rows.end, strict=True)
    table = frame(rows, [(str(i), low, end) for i, (low, end) in enumerate(ends)])
    forecast.fit(table, val_size=max(rows.horizon, min(shortest // 5, 500)))
    parts, ahead = [], []
    for number, origin in enumerate(rows.origins):
        name, low = f"{number:06d}", rows.offsets[rows.unit(origin)]
        parts.append((name, max(low, origin + 1 - max(3 * back, 200)), origin + 1))
        index = origin + 1 + np.arange(rows.horizon)
        told = rows.ahead(index)
        ahead.append(
            pd.DataFrame({"unique_id": name, "ds": index} | {f"k{i}": told[:, i] for i in range(told.shape[1])})
        )
    given = {"futr_df": pd.concat(ahead, ignore_index=True)} if options else {}
    answers = forecast.predict(df=frame(rows, parts), **given)
    np.savez(out, answers=answers[method].to_numpy().reshape(len(rows.origins), rows.horizon))


if __name__ == "__main__":
    main()
