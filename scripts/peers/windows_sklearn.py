"""scikit-learn on windows: ``python windows_sklearn.py rows.npz answers.npz extra_trees|boosting|logistic``.

Features of a window: its values in ten equal phases, mean, deviation, least, greatest, first and last of every channel.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PHASES = 10
MODELS = {
    "extra_trees": lambda: ExtraTreesClassifier(500, random_state=0, n_jobs=1),
    "boosting": lambda: HistGradientBoostingClassifier(random_state=0),
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
}


def features(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    rows = []
    for window, length in zip(x, lengths, strict=True):
        real = window[: max(length, 1)]
        phases = [
            part.mean(axis=0) for part in np.array_split(real[np.linspace(0, len(real) - 1, 40).astype(int)], PHASES)
        ]
        spread = [np.nanmean(real, 0), np.nanstd(real, 0), np.nanmin(real, 0), np.nanmax(real, 0), real[0], real[-1]]
        rows.append(np.concatenate([*phases, *spread]))
    return np.nan_to_num(np.array(rows, np.float32))


def main() -> None:
    warnings.simplefilter("ignore")
    rows_file, out, method = sys.argv[1:]
    with np.load(rows_file) as rows:
        train = features(rows["x_train"], rows["length_train"])
        test = features(rows["x_test"], rows["length_test"])
        model = MODELS[method]().fit(train, rows["y_train"].astype(int))
    np.savez(out, answers=model.predict(test))


if __name__ == "__main__":
    main()
