"""MiniRocket's kernels and layers: equal to aeon's and sktime's, whatever the padding, exact for still signals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_seq.data.features.rocket_kernels import Kernels, biases_of, draw_kernels, spread_dilations, taps
from keras_seq.models.rocket_features import ChannelLevels, RocketFeatures, WholeNumbers

GOLDEN = Path(__file__).parents[1] / "golden" / "rocket" / "minirocket.npz"  # made by make.py beside it
SEEDS = {"one": (3, 420), "many": (11, 336), "ragged": (5, 336)}  # one channel, several, sequences of any length


@dataclass
class Reference:
    """What aeon (sktime for ``ragged``) drew and measured."""

    windows: list[np.ndarray]
    kernels: Kernels
    channels: np.ndarray
    biases: np.ndarray
    features: np.ndarray

    @property
    def layer(self) -> RocketFeatures:
        alternate = len({len(window) for window in self.windows}) == 1
        return RocketFeatures(self.kernels.dilations.tolist(), self.kernels.counts.tolist(), alternate)


def reference(name: str) -> Reference:
    with np.load(GOLDEN) as stored:
        found = {key.removeprefix(f"{name}_"): stored[key] for key in stored if key.startswith(name)}
    ends = np.cumsum(found["lengths"])[:-1] if name == "ragged" else None
    series = found["series"]
    windows = np.split(series.T, ends) if ends is not None else list(series.transpose(0, 2, 1))
    seed, features = SEEDS[name]
    drawn = draw_kernels(
        seed, windows=len(windows), channels=windows[0].shape[1], length=max(map(len, windows)), features=features,
        most=32,
    )  # fmt: skip
    np.testing.assert_array_equal(drawn.dilations, found["dilations"])
    np.testing.assert_array_equal(drawn.counts, found["counts"])
    reads = np.zeros((len(found["channels"]), windows[0].shape[1]), np.float32)
    for row, chosen in zip(reads, np.split(found["indices"], np.cumsum(found["channels"])[:-1]), strict=True):
        row[chosen] = 1
    reads = reads.reshape(len(drawn.dilations), 84, -1).transpose(0, 2, 1)
    return Reference(
        windows, drawn, reads, ours(found["biases"][None], drawn.counts).reshape(-1, 84),
        ours(found["features"], drawn.counts),
    )  # fmt: skip


def ours(theirs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """From their order (dilation, kernel, bias) to ours (dilation, bias, kernel)."""
    parts = np.split(theirs, 84 * np.cumsum(counts)[:-1], axis=1)
    turned = [part.reshape(len(part), 84, -1).transpose(0, 2, 1).reshape(len(part), -1) for part in parts]
    return np.concatenate(turned, 1)


def padded(windows: list[np.ndarray], time: int, content: float = 0.0) -> np.ndarray:
    values = np.full((len(windows), time, windows[0].shape[1]), content, np.float32)
    for row, window in zip(values, windows, strict=True):
        row[: len(window)] = window
    return values


def measured(known: Reference, weights: list[np.ndarray]) -> np.ndarray:
    lengths = np.array([len(window) for window in known.windows], np.int32)
    values, layer = padded(known.windows, int(lengths.max())), known.layer
    layer.build(values.shape)
    layer.set_weights(weights)
    return np.asarray(layer(values) if layer.alternate else layer(values, lengths))


def drawn_biases(known: Reference) -> np.ndarray:
    first = np.cumsum(known.kernels.counts) - known.kernels.counts
    biases = np.zeros_like(known.biases)
    for number, window in enumerate(known.windows):
        for place, kernel, found in biases_of(known.kernels, number, window):
            biases[first[place] : first[place] + len(found), kernel] = found
    return biases


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_draws_what_it_draws_elsewhere(name: str) -> None:
    known = reference(name)
    np.testing.assert_array_equal(known.kernels.channels, known.channels)
    np.testing.assert_allclose(drawn_biases(known), known.biases, atol=1e-4)


@pytest.mark.parametrize("name", SEEDS)
def test_features_equal_the_references(name: str) -> None:
    known = reference(name)
    np.testing.assert_array_equal(measured(known, [known.channels, known.biases]), known.features)
    np.testing.assert_array_equal(measured(known, [known.kernels.channels, drawn_biases(known)]), known.features)


def test_kernels_are_84_of_three_twos_among_minus_ones() -> None:
    assert taps().shape == (9, 84) and len({tuple(column) for column in taps().T}) == 84
    assert (taps().sum(0) == 0).all()


@pytest.mark.parametrize(("length", "features"), [(9, 84), (10, 9996), (5000, 9996), (30, 50), (70, 1000)])
def test_no_kernel_is_wider_than_the_sequence(length: int, features: int) -> None:
    dilations, counts = spread_dilations(length, features, 32)
    assert dilations[0] == 1 and 8 * dilations[-1] < length
    assert 84 * counts.sum() == max(features // 84, 1) * 84


def tiny(**settings: Any) -> RocketFeatures:
    layer = RocketFeatures([1, 2], [2, 1], **settings)
    layer.build((None, None, 2))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.integers(0, 2, (2, 2, 84)), np.floor(rng.normal(size=(3, 84)) * 3) + 0.5])
    return layer


@pytest.mark.parametrize("layer", [tiny(), ChannelLevels(2.0)], ids=["shares", "levels"])
def test_padding_and_company_change_nothing(layer: keras.Layer) -> None:
    rng = np.random.default_rng(1)
    windows = [rng.integers(-9, 9, size=(n, 2)).astype(np.float32) for n in (30, 4, 1, 17)]
    lengths = np.array([30, 4, 1, 17], np.int32)
    together = np.asarray(layer(padded(windows, 41), lengths))
    for row, window in zip(together, windows, strict=True):
        alone = np.asarray(layer(window[None], np.array([len(window)], np.int32)))[0]
        np.testing.assert_allclose(row, alone, rtol=1e-6)
    assert (np.asarray(layer(np.zeros((1, 5, 2), np.float32), np.zeros(1, np.int32))) == 0).all()


@pytest.mark.parametrize("alternate", [False, True])
def test_a_signal_that_stands_still_is_exact_in_every_order(alternate: bool) -> None:
    """0.1 cannot be held exactly: its sums differ by their order, above a bias of 0 at all steps or none."""
    values = WholeNumbers((1 / 2048, 1 / 2048))(np.tile(np.float32([[[0.1, -0.7]]]), (1, 50, 1)))
    layer, mirrored = tiny(alternate=alternate), tiny(alternate=alternate)
    mirrored.set_weights([weight[:, ::-1] if weight.ndim == 3 else weight for weight in layer.get_weights()])
    np.testing.assert_array_equal(layer(values), mirrored(values[:, :, ::-1]))


def test_huge_values_stay_finite() -> None:
    values = np.float32([3e38, -3e38, np.inf, 1.0]).reshape(1, 4, 1) * np.ones((1, 4, 2), np.float32)
    whole = WholeNumbers((1e-3, 1e-3))(values)
    assert np.abs(whole).max() == 65_536
    assert np.isfinite(tiny()(whole)).all() and np.isfinite(ChannelLevels(2048.0)(whole)).all()


def test_levels_are_what_they_say() -> None:
    window = np.float32([[1, 5], [4, 5], [2, 8]])
    found = np.asarray(ChannelLevels()(window[None]))[0].reshape(5, 2)
    np.testing.assert_allclose(
        found, [window.mean(0), window.std(0), window[-1], window.max(0), window.min(0)], rtol=1e-6
    )
