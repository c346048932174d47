"""The cheap, strong model a network has to beat, chosen by task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import Experiment, ModelConfig
from keras_seq.data.windows import WindowIndex
from keras_seq.errors import ConfigError, DataError, KerasSeqError
from keras_seq.figures import silent
from keras_seq.models.registry import get_family, resolve

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared

FORECASTS = ("mean", "naive", "seasonal_naive", "ridge")  # simplest first: a later one must be better to be chosen
TREES = ("random_forest", "extra_trees", "last_row_forest", "hist_gradient_boosting", "lightgbm")


@dataclass(frozen=True)
class FittedBaseline:
    """A fitted baseline.

    Attributes:
        family: whose defaults it has.
        experiment: the network's with the baseline's ``model`` section.
        predict: answers for every window in order, shaped as a network's.
    """

    family: str
    experiment: Experiment
    predict: Callable[[WindowIndex], NDArray]


def fit_reference(experiment: Experiment, prepared: Prepared) -> FittedBaseline:
    """Fit the baseline of the task on ``prepared.index["train"]``.

    - a label per unit: trees on statistics of the sequence, by numpy (half the time of the same in a graph);
    - a target per step: family ``hist_gradient_boosting``;
    - forecasts: the best of ``FORECASTS`` by squared error on validation; those that refuse the data are left out.

    A model is never its own baseline: trees get ``ridge``, and ``ridge`` trees, where there is no forecast.

    Args:
        experiment: of the network; of its ``model`` section the season counts.
        prepared: series, windows and fitted numbers.

    Raises:
        ConfigError, DataError: nothing can be fitted; says why.
    """
    families = rivals(experiment.model.family, prepared)
    if not families:
        from keras_seq.baselines.trees import fit_units

        family, predict = fit_units(prepared, experiment.seed, target_cap=experiment.data.target_cap)
        return FittedBaseline(family, _with_family(experiment, family), predict)
    fitted: list[FittedBaseline] = []
    refused: KerasSeqError | None = None
    for family in families:
        try:
            fitted.append(_fit(family, experiment, prepared))
        except (ConfigError, DataError) as error:
            refused = error
    if refused is not None and not fitted:
        raise refused
    return min(fitted, key=lambda baseline: _error(baseline, prepared)) if len(fitted) > 1 else fitted[0]


def rivals(family: str, prepared: Prepared) -> tuple[str, ...]:
    """Families to choose a baseline from, never the model's own kind; none: trees on statistics of whole units."""
    if prepared.spec.horizon:
        return tuple(name for name in FORECASTS if name != family)
    if family in TREES:
        return ("ridge",)
    return () if prepared.series.schema.target_per == "unit" else ("hist_gradient_boosting",)


def _fit(family: str, experiment: Experiment, prepared: Prepared) -> FittedBaseline:
    from keras_seq.training.device import precision
    from keras_seq.training.predictions import predict_windows

    own = _with_family(experiment, family)
    with precision("none"):  # trees split at float32 numbers, whatever the network computes in
        model = get_family(family).fit(own, prepared, silent)  # type: ignore[misc]
    return FittedBaseline(
        family, own, lambda index: predict_windows(model, prepared.series, index, prepared.spec, own.data)
    )


def _with_family(experiment: Experiment, family: str) -> Experiment:
    return experiment.model_copy(update={"model": resolve(ModelConfig(family=family, arima=experiment.model.arima))})


def _error(baseline: FittedBaseline, prepared: Prepared) -> float:
    """Mean squared error of validation forecasts, in deviations of the targets."""
    from keras_seq.training.predictions import locate

    spec, index = prepared.spec, prepared.index["validation"]
    truth = np.asarray(locate(prepared.series, index, spec)[0], np.float64)
    return float(np.nanmean(((baseline.predict(index) - truth) / np.array(spec.target_std)) ** 2))
