"""Family ``sarimax``: seasonal ARIMA fitted on the train part, its Kalman filter inside the graph."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.baselines.linear_graph import REPAIRS, check_forecast, has_gaps, linear_model, train_rows
from keras_seq.baselines.naive import season_of
from keras_seq.baselines.statespace import FilterWeights, Fitted, check_series, filter_weights, fit_arima, order_name
from keras_seq.config import Experiment
from keras_seq.config.forecasting import ArimaConfig
from keras_seq.data.prepare import Prepared
from keras_seq.errors import TrainingError
from keras_seq.figures import Say
from keras_seq.models.registry import register

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Filters:
    """One fitted model and its filter per target."""

    fitted: list[Fitted]
    weights: list[FilterWeights]

    @property
    def burn(self) -> int:
        """Rows until levels and seasons are known to every filter."""
        return max(burn_in(fit.arima) for fit in self.fitted)


@register("sarimax", fitted=True)
def sarimax(experiment: Experiment, prepared: Prepared, say: Say) -> keras.Model:
    """Fit per target, write the filter's weights into a model."""
    filters = fit_filters(experiment, prepared, say)
    return linear_model(prepared.spec, filters.weights, "sarimax", repairs=REPAIRS if has_gaps(prepared) else 0)


def fit_filters(experiment: Experiment, prepared: Prepared, say: Say) -> Filters:
    """Fit every target's model on the train rows.

    Raises:
        ConfigError: the task or the data do not suit the family.
        DataError: a constant series, or one too short for the season.
        TrainingError: no order could be fitted.
    """
    check_forecast(experiment, prepared)
    arima, spec = _with_period(experiment, prepared), prepared.spec
    rows = train_rows(prepared, experiment.model.family)
    fitted = []
    for k, name in enumerate(spec.targets):
        check_series(rows[:, k], arima, name)
        fitted.append(_fit_one((rows[:, k] - spec.target_mean[k]) / spec.target_std[k], arima, name, say))
    weights = [filter_weights(fit, spec.time, spec.horizon) for fit in fitted]
    filters = Filters(fitted, weights)
    if spec.time <= filters.burn:
        say(
            f"  warning: windows of {spec.time} steps are too short for {fitted[0].name}, which needs more than "
            f"{filters.burn} to know level and season; raise --data.windows.length"
        )
    return filters


def burn_in(arima: ArimaConfig) -> int:
    """Rows a filter needs until its level and season are known."""
    levels = arima.order[1] + arima.seasonal[1] * arima.seasonal[3]
    season = int(np.ceil(arima.period)) if arima.fourier else 0
    return max(levels, season) + 1


def candidates(arima: ArimaConfig) -> list[ArimaConfig]:
    """All orders up to the given ones, small first; differencing stays, or AICc could not be compared."""
    (p, d, q), (sp, sd, sq, s) = arima.order, arima.seasonal
    grid = itertools.product(range(p + 1), range(q + 1), range(sp + 1), range(sq + 1))
    ranked = sorted(grid, key=lambda order: (sum(order), order))
    return [
        arima.model_copy(update={"order": (a, d, b), "seasonal": (c, sd, e, s), "select": False})
        for a, b, c, e in ranked
        if a + b + c + e + arima.fourier
    ]


def select(y: Float, arima: ArimaConfig, say: Say) -> Fitted:
    """The candidate with the least AICc (Hurvich and Tsai, 1989); a failed one is named and left out.

    Raises:
        TrainingError: none could be fitted.
    """
    tried, fits, start = candidates(arima), list[Fitted](), time.perf_counter()
    for number, candidate in enumerate(tried, 1):
        try:
            fit = fit_arima(y, candidate)
        except (ValueError, np.linalg.LinAlgError) as error:
            say(f"  {order_name(candidate)} failed: {str(error).splitlines()[0]}")
            continue
        fits.append(fit)
        # later candidates have more terms and take longer, so this is a lower bound
        left = (time.perf_counter() - start) / number * (len(tried) - number)
        doubt = "" if fit.converged else ", not converged"
        say(f"  {number}/{len(tried)} {fit.name}: AICc {fit.aicc:.1f}{doubt}; about {left:.0f} s left")
    sound = [fit for fit in fits if fit.converged and np.isfinite(fit.aicc)] or fits
    if not sound:
        raise TrainingError(
            f"None of the {len(tried)} orders up to {order_name(arima)} could be fitted; lower model.arima.order."
        )
    return min(sound, key=lambda fit: fit.aicc)


def _fit_one(y: Float, arima: ArimaConfig, name: str, say: Say) -> Fitted:
    if arima.select:
        fit = select(y, arima, say)
    else:
        try:
            fit = fit_arima(y, arima)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise TrainingError(
                f"SARIMAX {order_name(arima)} could not be fitted to '{name}': {str(error).splitlines()[0]}. Lower "
                "model.arima.order, or use model.arima.fourier for the season."
            ) from None
    say(f"SARIMAX {fit.name} of '{name}': AICc {fit.aicc:.1f}, innovations {fit.deviation:.3f} deviations")
    if not fit.converged:
        say(
            f"  warning: the fit of {fit.name} did not converge in {arima.iterations} iterations; raise "
            "model.arima.iterations or lower the order"
        )
    return fit


def _with_period(experiment: Experiment, prepared: Prepared) -> ArimaConfig:
    arima = experiment.model.arima
    if arima.fourier and not arima.period:
        return arima.model_copy(update={"period": float(season_of(experiment, prepared))})
    return arima
