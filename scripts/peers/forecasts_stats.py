"""statsforecast, fitted anew at every origin: ``python forecasts_stats.py rows.npz answers.npz ets|theta SEASON``."""

from __future__ import annotations

import sys
import warnings

import numpy as np
from forecast_rows import history, read
from statsforecast.models import AutoETS, AutoTheta

MODELS = {"ets": AutoETS, "theta": AutoTheta}
LONGEST = 24  # the seasonal forms of ETS are not for longer seasons


def main() -> None:
    warnings.simplefilter("ignore")
    rows_file, out, method, season = sys.argv[1:]
    rows, season = read(rows_file), int(season) if 1 < int(season) <= LONGEST else 1
    answers = []
    for origin in rows.origins:
        past = history(rows, origin, max(10 * season, 400))
        answers.append(MODELS[method](season_length=season).forecast(past, rows.horizon)["mean"])
    np.savez(out, answers=np.array(answers))


if __name__ == "__main__":
    main()
