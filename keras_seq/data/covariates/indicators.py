"""Technical indicators of a price, each from rows up to its own. Prices are positive; ``(rows,)`` float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.covariates.past import lag, rolling

Float = NDArray[np.float64]


def ewm(x: Float, alpha: float) -> Float:
    """``y_0 = x_0, y_t = (1 - alpha) y_(t-1) + alpha x_t``."""
    from scipy.signal import lfilter

    return lfilter([alpha], [1.0, alpha - 1.0], x, zi=[(1.0 - alpha) * x[0]])[0]


def rsi(price: Float, period: int = 14) -> Float:
    """Relative strength index (Wilder, 1978), 0 to 100: ``100 - 100 / (1 + mean gain / mean loss)``.

    Means are Wilder's, ``alpha = 1 / period``; 50 where nothing moved.
    """
    change = np.diff(price, prepend=price[0])
    gain, loss = ewm(np.maximum(change, 0.0), 1 / period), ewm(np.maximum(-change, 0.0), 1 / period)
    both = gain + loss
    return np.where(both > 0, 100.0 * gain / np.where(both > 0, both, 1.0), 50.0)


def macd(price: Float, fast: int = 12, slow: int = 26, signal: int = 9) -> tuple[Float, Float]:
    """MACD (Appel, 1979) as a share of the price, and its distance from its own mean over ``signal`` steps."""
    line = (ewm(price, 2 / (fast + 1)) - ewm(price, 2 / (slow + 1))) / price
    return line, line - ewm(line, 2 / (signal + 1))


def bollinger(price: Float, window: int = 20, width: float = 2.0) -> tuple[Float, Float]:
    """Bollinger's %b, ``(price - lower) / (upper - lower)`` (0.5 where flat), and the band's width over its mean."""
    mean, deviation = rolling(price, window)
    band = 2.0 * width * deviation
    place = np.where(band > 0, (price - mean) / np.where(band > 0, band, 1.0) + 0.5, 0.5)
    return place, band / mean


def atr(spread: Float, change: Float, period: int = 14) -> Float:
    """Average true range (Wilder, 1978) in log prices: the mean of ``max(high - low, |change|)``.

    The true range is the largest of the day's range and the distances of high and low from the last close;
    with the daily range and the change of the close known, this is its lower bound.
    """
    return ewm(np.maximum(spread, np.abs(change)), 1 / period)


def momentum(price: Float, steps: int = 10) -> Float:
    """``log(price / price steps before)``."""
    return np.log(price) - np.log(lag(price, steps))
