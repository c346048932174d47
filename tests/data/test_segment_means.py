"""Means over relative phases: golden numbers, padding, dynamic time."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.models.blocks import SegmentMeans, SumOverTime


def test_equal_parts_are_plain_means() -> None:
    x = np.arange(16, dtype="float32").reshape(1, 8, 2)
    means = np.asarray(SegmentMeans(4)(x))
    np.testing.assert_allclose(means, x.reshape(1, 4, 2, 2).mean(2).reshape(1, 8))


def test_a_border_step_counts_by_its_share() -> None:
    x = np.array([[[0.0], [3.0], [6.0]]], "float32")  # three steps in two parts: the middle one is halved
    np.testing.assert_allclose(np.asarray(SegmentMeans(2)(x)), [[(0 + 1.5) / 1.5, (1.5 + 6) / 1.5]], rtol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 5, 9])
def test_padding_changes_nothing(length: int) -> None:
    rng = np.random.default_rng(length)
    real = rng.normal(size=(1, length, 3)).astype("float32")
    padded = np.concatenate([real, rng.normal(size=(1, 7, 3)).astype("float32") * 1e3], 1)
    layer = SegmentMeans(8)
    alone = np.asarray(layer(real))
    np.testing.assert_allclose(np.asarray(layer(padded, np.array([length]))), alone, atol=1e-5)
    whole = alone.reshape(8, 3).mean(0)  # equal parts: their mean is the mean of the steps
    np.testing.assert_allclose(whole, real[0].mean(0), atol=1e-5)


def test_an_empty_sequence_gives_zeros() -> None:
    x = np.ones((1, 4, 2), "float32")
    np.testing.assert_array_equal(np.asarray(SegmentMeans(2)(x, np.array([0]))), np.zeros((1, 4)))


def test_sum_counts_steps() -> None:
    x = np.ones((2, 6, 1), "float32")
    np.testing.assert_allclose(np.asarray(SumOverTime(10)(x, np.array([3, 6]))), [[0.3], [0.6]], rtol=1e-6)
