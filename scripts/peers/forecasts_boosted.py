"""mlforecast with LightGBM, step by step: ``python forecasts_boosted.py rows.npz answers.npz lightgbm SEASON``.

Differences by the season (or to the step before), lags of two seasons, moving means, what is known ahead, hour and
weekday; series are scaled apart. Every origin is a series of its own whose past ends there.
"""

from __future__ import annotations

import sys
import warnings

import lightgbm
import numpy as np
import pandas as pd
from forecast_rows import ForecastRows, read
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from mlforecast.target_transforms import Differences, LocalStandardScaler

MOST = 400_000


def frame(rows: ForecastRows, parts: list[tuple[str, int, int]]) -> pd.DataFrame:
    """A table of rows ``low`` to ``high`` of each part."""
    tables = []
    for name, low, high in parts:
        index = np.arange(low, high)
        ahead = rows.ahead(index)
        table = {"unique_id": name, "ds": np.arange(low, high), "y": rows.y[low:high]}
        tables.append(pd.DataFrame(table | {f"k{i}": ahead[:, i] for i in range(ahead.shape[1])}))
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    warnings.simplefilter("ignore")
    rows_file, out, _, season = sys.argv[1:]
    rows = read(rows_file)
    shortest = int((rows.end - rows.offsets[:-1]).min())
    season = int(season) if 1 < int(season) < shortest // 3 else 0
    lags = sorted({*range(1, 13), *((season, 2 * season) if season else ()), *((24,) if season > 24 else ())})
    lags = [lag for lag in lags if lag < shortest // 3]
    model = MLForecast(
        models={"m": lightgbm.LGBMRegressor(n_estimators=500, learning_rate=0.05, num_leaves=63, verbose=-1, n_jobs=1)},
        freq=1,
        lags=lags,
        lag_transforms={1: [RollingMean(window) for window in (3, 12) if window < shortest // 3]},
        target_transforms=[Differences([season or 1]), LocalStandardScaler()],
    )
    ends = zip(rows.offsets[:-1], rows.end, strict=True)
    model.fit(frame(rows, [(str(i), low, end) for i, (low, end) in enumerate(ends)]).tail(MOST), static_features=[])
    parts, ahead = [], []
    for number, origin in enumerate(rows.origins):
        low = rows.offsets[rows.unit(origin)]
        name = f"{number:06d}"
        parts.append((name, max(low, origin + 1 - max(4 * season, 200)), origin + 1))
        index = origin + 1 + np.arange(rows.horizon)
        known = rows.ahead(index)
        table = {"unique_id": name, "ds": index} | {f"k{i}": known[:, i] for i in range(known.shape[1])}
        ahead.append(pd.DataFrame(table))
    told = pd.concat(ahead, ignore_index=True)
    given = {"X_df": told} if told.shape[1] > 2 else {}
    answers = model.predict(rows.horizon, new_df=frame(rows, parts), **given)
    np.savez(out, answers=answers["m"].to_numpy().reshape(len(rows.origins), rows.horizon))


if __name__ == "__main__":
    main()
