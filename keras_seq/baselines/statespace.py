"""Fit a seasonal ARIMA on the train part, and write its Kalman filter as weights over a window.

A model (2,1,3)(1,1,3,52) has 213 states: one likelihood by the Kalman filter over 500 rows multiplies 213 x 213
matrices 500 times, and a fit takes hundreds of likelihoods. Three things make it practical:

- the differenced series is fitted by the innovations algorithm (Brockwell and Davis, 2016, 5.2), whose work
  grows with the order of the moving average and not with the cube of the states: about a minute;
- ``model.arima.fourier`` puts K pairs of sine and cosine in place of the seasonal terms: 2K + max(p, q + 1) + d states;
- the filter runs once after the fit. Its gains do not depend on data, so the graph holds its forecasts as
  weights (``keras_seq.models.kalman``): memory ``window x window`` numbers, time one matrix product.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config.forecasting import ArimaConfig
from keras_seq.errors import DataError

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        arima: its orders; what was selected if there was a choice.
        params: as ``statsmodels.tsa.statespace.sarimax.SARIMAX`` names them, scaled units.
        aicc: Akaike's criterion, corrected for small samples; comparable for equal differencing only.
        converged: whether the optimiser says so.
        deviation: of the innovations, scaled units.
    """

    arima: ArimaConfig
    params: Float
    aicc: float
    converged: bool
    deviation: float

    @property
    def name(self) -> str:
        """``(p,d,q)(P,D,Q,s)`` or ``(p,d,q) + K harmonics``."""
        return order_name(self.arima)


@dataclass(frozen=True)
class FilterWeights:
    """A Kalman filter over windows of up to ``time`` rows, as weights.

    Attributes:
        ahead: ``(time, time, horizon)``: forecast made at row ``o`` for ``h + 1`` steps later from row ``s``.
        level: ``(time, horizon)``: what is added.
        precision: ``(time,)``: inverse variance of each row's one-step error, the largest is 1.
    """

    ahead: Float
    level: Float
    precision: Float

    @property
    def one_step(self) -> Float:
        """``(time, time)``: forecast *of* row ``t`` from the rows before it."""
        return np.concatenate([np.zeros((1, len(self.ahead))), self.ahead[:-1, :, 0]])

    @property
    def one_level(self) -> Float:
        """``(time,)``: what is added to it."""
        return np.concatenate([[0.0], self.level[:-1, 0]])


def order_name(arima: ArimaConfig) -> str:
    """The orders as one writes them."""
    order = ",".join(map(str, arima.order))
    seasonal = f"({','.join(map(str, arima.seasonal))})" if any(arima.seasonal[:3]) else ""
    return f"({order}){seasonal}" + (f" + {arima.fourier} harmonics" if arima.fourier else "")


def check_series(y: Float, arima: ArimaConfig, name: str) -> None:
    """Refuse what cannot be fitted.

    Args:
        y: the train rows ``(rows,)``, raw units, NaN where missing.
        arima: orders.
        name: of the column, for messages.

    Raises:
        DataError: a constant series, too few rows, or a season longer than the series.
    """
    seen = y[np.isfinite(y)]
    if len(seen) == 0 or np.ptp(seen) == 0.0:
        value = f"always {seen[0]:g}" if len(seen) else "never observed"
        raise DataError(
            f"Column '{name}' is {value} in the train part, so a SARIMAX model {order_name(arima)} has nothing to fit; "
            "use --model.family naive, or choose another target."
        )
    season = arima.seasonal[3] if any(arima.seasonal[:3]) else 0
    season = max(season, int(np.ceil(arima.period))) if arima.fourier else season
    if season and len(y) < 2 * season:
        raise DataError(
            f"The season of model {order_name(arima)} is {season} steps, but the train part of '{name}' has {len(y)} "
            f"rows; a season needs at least two of its lengths ({2 * season}). Lower the season in model.arima, or "
            "bring a longer series."
        )
    p, d, q, (sp, sd, sq, s) = *arima.order, arima.seasonal
    used, free = d + sd * s, p + q + sp + sq + 2 * arima.fourier + 2
    if len(seen) - used < 2 * free:
        raise DataError(
            f"Model {order_name(arima)} has {free} numbers to fit and differencing uses {used} rows, but the train "
            f"part of '{name}' has only {len(seen)}; lower model.arima.order or model.arima.seasonal."
        )


def fourier_terms(rows: int, pairs: int, period: float, first: int = 0) -> Float:
    """``(rows, 2 * pairs)``: sine and cosine of 1 to ``pairs`` cycles in ``period`` steps."""
    angle = 2.0 * np.pi * np.arange(first, first + rows)[:, None] / period * np.arange(1, pairs + 1)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def sarimax(y: Float, arima: ArimaConfig) -> Any:
    """The statsmodels model of scaled rows ``y (rows,)``; Fourier coefficients are states, not parameters.

    As diffuse states the coefficients are estimated anew from what each window shows. Sine and cosine of
    one frequency span the same space from whatever week a window begins, so no calendar is needed.
    """
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    terms = fourier_terms(len(y), arima.fourier, arima.period) if arima.fourier else None
    return SARIMAX(
        y,
        exog=terms,
        order=arima.order,
        seasonal_order=arima.seasonal if any(arima.seasonal[:3]) else (0, 0, 0, 0),
        trend="c" if arima.drift else "n",
        mle_regression=False,
    )


def fit_arima(y: Float, arima: ArimaConfig) -> Fitted:
    """Maximum likelihood on scaled rows ``y`` ``(time,)``.

    The innovations algorithm where it applies (no gaps, no harmonics, no drift); else the Kalman filter.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence is told by the caller, naming the order
        if np.isfinite(y).all() and not arima.fourier and not arima.drift and any(arima.seasonal[:3]):
            return _fit_innovations(y, arima)
        result = sarimax(y, arima).fit(disp=0, maxiter=arima.iterations)
    converged = bool(result.mle_retvals["converged"])
    return Fitted(arima, np.asarray(result.params), float(result.aicc), converged, float(np.sqrt(result.params[-1])))


def _fit_innovations(y: Float, arima: ArimaConfig) -> Fitted:
    from statsmodels.tsa.arima.estimators.innovations import innovations_mle
    from statsmodels.tsa.statespace.tools import diff

    (p, d, q), (sp, sd, sq, s) = arima.order, arima.seasonal
    z = np.asarray(diff(y, d, sd, s) if sd else diff(y, d), np.float64).ravel()
    start = np.concatenate([np.full(p, 0.05), np.full(q, -0.1), np.full(sp, -0.05), np.full(sq, -0.1), [z.var()]])
    params, details = innovations_mle(
        z,
        order=(p, 0, q),
        seasonal_order=(sp, 0, sq, s),
        demean=False,
        start_params=start,
        minimize_kwargs={"options": {"maxiter": arima.iterations}},
    )
    optimised = details.minimize_results
    count, k = len(z), len(params.params)
    aicc = 2.0 * float(optimised.fun) + 2.0 * k + 2.0 * k * (k + 1) / max(count - k - 1, 1)
    # the last digits of a flat likelihood are lost to rounding: that is no failure (status 2)
    converged = bool(optimised.success) or optimised.status == 2
    return Fitted(arima, np.asarray(params.params), aicc, converged, float(np.sqrt(params.sigma2)))


def filter_weights(fitted: Fitted, time: int, horizon: int) -> FilterWeights:
    """Run the Kalman filter once on symbols instead of numbers.

    With gains ``K_t`` the predicted state ``a_(t+1) = T a_t + K_t (y_t - Z_t a_t) + c`` is a matrix times the
    rows seen so far; the forecast ``Z_(t+h) T^(h-1) a_(t+1)`` is read off it. The last column carries the
    constant.

    Args:
        fitted: the model.
        time: longest window, rows.
        horizon: steps ahead.
    """
    model = sarimax(np.zeros(time + horizon), fitted.arima)
    model.update(fitted.params)
    ssm = model.ssm
    transition, selection = _steady(ssm["transition"]), _steady(ssm["selection"])
    design = np.asarray(ssm["design"])
    design = design[0] if design.ndim == 3 else np.repeat(design.reshape(-1, 1), time + horizon, axis=1)
    mean, _, spread = ssm.initialization(model=ssm)  # levels and seasons start with a large finite variance
    shock = selection @ _steady(ssm["state_cov"]) @ selection.T
    constant = np.asarray(ssm["state_intercept"], np.float64)
    constant = constant[:, 0] if constant.ndim == 2 else constant
    return _run(design, transition, constant, shock, np.asarray(mean), np.asarray(spread), time, horizon)


def _steady(matrix: Any) -> Float:
    """The matrix of a system that does not change with time."""
    matrix = np.asarray(matrix, np.float64)
    return matrix[:, :, 0] if matrix.ndim == 3 else matrix


def _run(
    design: Float, transition: Float, constant: Float, shock: Float, mean: Float, spread: Float, time: int, horizon: int
) -> FilterWeights:
    from scipy.sparse import csr_array

    moves = csr_array(transition)
    state = np.zeros((len(mean), time + 1))  # by row of the window; the last column is the constant
    state[:, -1] = mean
    ahead, variance = np.zeros((time, time + 1, horizon)), np.zeros(time)
    for t in range(time):
        row = design[:, t]
        seen = spread @ row
        variance[t] = row @ seen
        gain = moves @ seen / variance[t]
        error = -(row @ state)  # innovation of row t as a map of the rows: unit weight on itself
        error[t] += 1.0
        state = moves @ state + np.outer(gain, error)
        state[:, -1] += constant
        spread = moves @ (moves @ spread).T + shock - np.outer(gain, gain) * variance[t]
        spread = (spread + spread.T) / 2.0
        later = state
        for h in range(horizon):
            ahead[t, :, h] = design[:, t + 1 + h] @ later
            if h + 1 < horizon:
                later = moves @ later
                later[:, -1] += constant
    return FilterWeights(ahead[:, :-1], ahead[:, -1], variance.min() / variance)
