"""aeon's convolution kernels: ``python windows_aeon.py rows.npz answers.npz minirocket|multirocket_hydra``.

Sequences are padded at their end with their last value, as aeon takes no missing ones.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from aeon.classification.convolution_based import MiniRocketClassifier, MultiRocketHydraClassifier

MODELS = {
    "minirocket": lambda: MiniRocketClassifier(random_state=0, n_jobs=1),
    "multirocket_hydra": lambda: MultiRocketHydraClassifier(random_state=0, n_jobs=1),
}


def filled(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``(cases, channels, time)``: gaps and padding hold the value before them."""
    x = x.copy()
    step = np.arange(x.shape[1])
    last = np.take_along_axis(x, np.maximum(lengths, 1)[:, None, None].astype(int) - 1, axis=1)
    x = np.where((step < lengths[:, None])[..., None], x, last)
    for time in range(1, x.shape[1]):
        x[:, time] = np.where(np.isnan(x[:, time]), x[:, time - 1], x[:, time])
    return np.nan_to_num(x).transpose(0, 2, 1).astype(np.float64)


def main() -> None:
    warnings.simplefilter("ignore")
    rows_file, out, method = sys.argv[1:]
    with np.load(rows_file) as rows:
        train, test = filled(rows["x_train"], rows["length_train"]), filled(rows["x_test"], rows["length_test"])
        model = MODELS[method]()
        model.fit(train, rows["y_train"].astype(int))
    np.savez(out, answers=model.predict(test))


if __name__ == "__main__":
    main()
