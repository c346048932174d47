"""scikit-learn, all steps at once: ``python forecasts_sklearn.py rows.npz answers.npz ridge|extra_trees SEASON``.

Inputs: the window less its last value over its deviation, and what is known of the steps ahead.
"""

from __future__ import annotations

import sys

import numpy as np
from forecast_rows import ForecastRows, read
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import RidgeCV

MOST = 20_000
MODELS = {
    "ridge": lambda: RidgeCV(np.logspace(-2, 5, 15)),
    "extra_trees": lambda: ExtraTreesRegressor(200, min_samples_leaf=3, max_features=0.3, random_state=0, n_jobs=1),
}


def windows(rows: ForecastRows, origins: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs ``(origins, ...)``, last values and deviations ``(origins, 1)``."""
    begin = np.array([rows.offsets[rows.unit(origin)] for origin in origins])
    row = np.maximum(origins[:, None] - np.arange(length)[::-1], begin[:, None])
    past = rows.y[row]
    last, deviation = past[:, -1:], past.std(axis=1, keepdims=True)
    deviation = np.where(deviation > 1e-9 * np.abs(last), deviation, 1.0)
    other = [i for i in range(rows.values.shape[1]) if i != rows.meta["target"]]
    now = np.nan_to_num(rows.values[origins][:, other])
    ahead = rows.ahead(origins[:, None] + 1 + np.arange(rows.horizon)).reshape(len(origins), -1)
    return np.concatenate([(past - last) / deviation, now, ahead], axis=1), last, deviation


def main() -> None:
    rows_file, out, method, season = sys.argv[1:]
    rows = read(rows_file)
    length = max(2 * int(season) if int(season) <= 200 else int(season), min(rows.horizon, 96), 24)
    shortest = int((rows.end - rows.offsets[:-1]).min())
    length = max(2, min(length, shortest - rows.horizon - 10))
    fit = [
        np.arange(low + length - 1, end - rows.horizon) for low, end in zip(rows.offsets[:-1], rows.end, strict=True)
    ]
    origins = np.concatenate(fit)
    origins = origins[np.linspace(0, len(origins) - 1, min(MOST, len(origins))).astype(int)]
    x, last, deviation = windows(rows, origins, length)
    y = (rows.y[origins[:, None] + 1 + np.arange(rows.horizon)] - last) / deviation
    mean, spread = x.mean(0), x.std(0) + 1e-9
    model = MODELS[method]().fit((x - mean) / spread, y)
    x, last, deviation = windows(rows, rows.origins, length)
    answers = np.asarray(model.predict((x - mean) / spread)).reshape(len(x), -1)
    np.savez(out, answers=answers * deviation + last)


if __name__ == "__main__":
    main()
