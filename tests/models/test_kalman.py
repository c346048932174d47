"""The filter as matrix products: against statsmodels, with gaps, padding and any length of window."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_seq.baselines.linear_graph import REPAIRS, linear_model
from keras_seq.baselines.statespace import Fitted, filter_weights, sarimax
from keras_seq.config.forecasting import ArimaConfig
from keras_seq.data.spec import DataSpec, Scaling

TIME, HORIZON = 60, 3
MODELS = {
    "arima": (ArimaConfig(order=(2, 1, 1)), [0.4, -0.2, -0.5, 0.3]),
    "seasonal": (ArimaConfig(order=(1, 1, 1), seasonal=(1, 1, 1, 12)), [0.3, -0.6, 0.2, -0.7, 0.3]),
    "drift": (ArimaConfig(order=(1, 0, 1), drift=True), [0.1, 0.6, -0.3, 0.4]),
    "harmonics": (ArimaConfig(order=(0, 1, 1), fourier=2, period=12.3), [-0.5, 0.3]),
}


def make_spec(*, variable: bool = True, time: int = TIME, horizon: int = HORIZON) -> DataSpec:
    scaling = Scaling(center=((0.0, 0.0),), scale=((1.0, 1.0),), fill=(0.0, 0.0))
    return DataSpec(
        task="forecast",
        features=("other", "y"),
        targets=("y",),
        time=time,
        variable_length=variable,
        horizon=horizon,
        target_mean=(100.0,),
        target_std=(20.0,),
        target_index=(1,),
        scaling=scaling,
    )


def series(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=rows)) * 0.3 + np.sin(2 * np.pi * np.arange(rows) / 12)


def fitted(name: str) -> Fitted:
    arima, params = MODELS[name]
    return Fitted(arima, np.array(params), 0.0, True, float(np.sqrt(params[-1])))


def windows(y: np.ndarray, *, pad: int = 0, junk: float = 0.0) -> np.ndarray:
    raw = np.stack([np.full(len(y), 7.0), y * 20.0 + 100.0], axis=1)
    return np.concatenate([raw, np.full((pad, 2), junk)]).astype(np.float32)[None]


def future_terms(arima: ArimaConfig, first: int) -> np.ndarray | None:
    from keras_seq.baselines.statespace import fourier_terms

    return fourier_terms(HORIZON, arima.fourier, arima.period, first) if arima.fourier else None


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rows", [TIME, 37])
def test_equals_statsmodels_on_the_same_rows(name: str, rows: int) -> None:
    fit, y = fitted(name), series(rows)
    model = linear_model(make_spec(), [filter_weights(fit, TIME, HORIZON)], "sarimax")
    got = model({"values": windows(y, pad=TIME - rows), "lengths": np.array([rows], np.int32)})
    exog = future_terms(fit.arima, rows)
    reference = sarimax(y, fit.arima).filter(fit.params).forecast(HORIZON, exog=exog)
    np.testing.assert_allclose(np.asarray(got)[0, :, 0], reference * 20 + 100, rtol=2e-4)


def test_padding_has_no_effect_and_the_model_survives_saving(tmp_path: Path) -> None:
    y = series(40)
    model = linear_model(make_spec(), [filter_weights(fitted("seasonal"), TIME, HORIZON)], "sarimax", repairs=REPAIRS)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    lengths = np.array([40], np.int32)
    plain = np.asarray(model({"values": windows(y), "lengths": lengths}))
    for pad, junk in ((3, 0.0), (20, np.nan), (33, 1e9)):
        padded = again({"values": windows(y, pad=pad, junk=junk), "lengths": lengths})
        np.testing.assert_allclose(np.asarray(padded), plain, rtol=1e-6)


def test_fixed_windows_may_be_shorter_or_longer_than_said() -> None:
    fit, y = fitted("arima"), series(TIME + 9)
    model = linear_model(make_spec(variable=False), [filter_weights(fit, TIME, HORIZON)], "sarimax")
    for rows in (25, TIME, TIME + 9):
        got = np.asarray(model({"values": windows(y[:rows])}))[0, :, 0]
        reference = sarimax(y[:rows][-TIME:], fit.arima).filter(fit.params).forecast(HORIZON)
        np.testing.assert_allclose(got, reference * 20 + 100, rtol=2e-4)


def test_a_missing_value_has_no_innovation() -> None:
    """Filled gaps give what statsmodels' filter gives with the rows missing."""
    fit = fitted("seasonal")
    models = [
        linear_model(make_spec(), [filter_weights(fit, TIME, HORIZON)], "sarimax", repairs=repairs)
        for repairs in (0, REPAIRS)
    ]
    errors = np.zeros(2)
    for seed in range(8):
        y = series(TIME, seed=seed)
        y[[20, 21, 40, TIME - 2 - seed % 4]] = np.nan
        reference = sarimax(y, fit.arima).filter(fit.params).forecast(HORIZON) * 20 + 100
        for k, model in enumerate(models):
            got = np.asarray(model({"values": windows(y), "lengths": np.array([TIME], np.int32)}))[0, :, 0]
            assert np.isfinite(got).all()
            errors[k] += np.abs(got - reference).mean() / 8
    assert errors[1] < 1e-2  # of a deviation of 20
    assert errors[0] > 0.1


def test_rolling_forecasts_approach_those_with_the_whole_past() -> None:
    """What a window cannot show of the past is the only difference; it shrinks with the window."""
    fit, y = fitted("seasonal"), series(300, seed=1)
    whole = sarimax(y, fit.arima).filter(fit.params).forecasts[0]
    worst = []
    for time in (30, 60, 120, 240):
        weights = filter_weights(fit, time, 1)
        rolling = [weights.ahead[-1, :, 0] @ y[t - time : t] + weights.level[-1, 0] for t in range(240, 300)]
        worst.append(np.abs(np.array(rolling) - whole[240:]).max() / y.std())
    assert worst == sorted(worst, reverse=True)
    assert worst[-1] < 1e-3
