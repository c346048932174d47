"""Naive forecasts: ``python forecasts_naive.py rows.npz answers.npz last|seasonal SEASON``."""

from __future__ import annotations

import sys

import numpy as np
from forecast_rows import history, read


def main() -> None:
    rows_file, out, method, season = sys.argv[1:]
    rows, back = read(rows_file), 1 if method == "last" else max(int(season), 1)
    answers = []
    for origin in rows.origins:
        past = history(rows, origin, back)
        answers.append(np.resize(past, rows.horizon) if len(past) == back else np.full(rows.horizon, past[-1]))
    np.savez(out, answers=np.array(answers))


if __name__ == "__main__":
    main()
