"""From which probability on a positive is called; chosen on validation, never on test."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from keras_seq.errors import DataError
from keras_seq.training.metrics import ranked_counts


def best_f1_threshold(truth: ArrayLike, probability: ArrayLike) -> float:
    """Threshold of the best F1; a probability at or above it is called positive.

    It lies midway between the last probability called and the next lower one, so that rounding in
    another format of the model changes no call. Among equal F1 the higher threshold wins, which does
    not depend on the order of the samples.

    Args:
        truth: 0/1 ``(n,)`` of the validation part.
        probability: ``(n,)``.

    Raises:
        DataError: no positive among ``truth``, or a probability that is not finite.
    """
    actual = np.asarray(truth, np.float64).ravel()
    values = np.asarray(probability, np.float64).ravel()
    if not np.isfinite(values).all():
        raise DataError(
            f"The threshold needs finite probabilities; {int((~np.isfinite(values)).sum())} of {len(values)} are not. "
            "Check the model's training for a loss of NaN."
        )
    true_positives, called, n_positive = ranked_counts(actual, values)
    if not n_positive:
        raise DataError(
            f"The validation part has no positive among its {len(actual)} samples, so no threshold can be chosen. "
            "Use data.split.by=stratified, a larger data.split.validation, or evaluation.threshold=half."
        )
    best = int(np.argmax(2 * true_positives / (called + n_positive)))  # the first: the highest threshold
    distinct = np.unique(values)[::-1]
    lower = distinct[best + 1] if best + 1 < len(distinct) else 0.0
    return float((distinct[best] + lower) / 2)
