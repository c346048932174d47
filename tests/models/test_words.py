"""Words in the graph: a channel each, fixed signs where they are many, none for a word that train does not hold."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.data.spec import DataSpec, Scaling, WordColumn
from keras_seq.models.preprocess import Preprocess
from keras_seq.models.words import MOST_CHANNELS, ExpandWords, channel_names, settings, signs


def make_spec(words=("clear", "mist", "rain"), seen=(1, 3), **changes):
    """A number and a word."""
    scaling = Scaling(center=((10.0, 0.0),), scale=((2.0, 1.0),), fill=(10.0, 0.0))
    column = WordColumn(feature=1, vocabulary=tuple(words), seen=tuple(seen))
    plain = {"task": "regression", "features": ("temp", "weather"), "targets": ("y",), "time": 4}
    return DataSpec(**plain, variable_length=False, scaling=scaling, words=(column,), **changes)


def window(*codes):
    """One window of these codes, the number always one deviation above its mean."""
    return np.stack([np.full(len(codes), 12.0), np.array(codes, np.float64)], axis=1)[None].astype(np.float32)


@pytest.mark.parametrize("impute", ["none", "forward", "interpolate", "mean"])
@pytest.mark.parametrize("indicator", [False, True])
def test_a_known_word_has_its_channel_and_others_none(impute, indicator):
    spec = make_spec(impute=impute, missing_indicator=indicator)
    channels = np.asarray(Preprocess.from_spec(spec)(window(1, 2, 3, 0, np.nan)))[0]
    assert channels.shape[1] == 4 + 2 * indicator
    np.testing.assert_array_equal(channels[:, :2], [[1, 0]] * 5)
    np.testing.assert_array_equal(channels[:, 2:4], [[1, 0], [0, 0], [0, 1], [0, 0], [0, 0]])
    np.testing.assert_array_equal(channels[:, 4:], np.zeros((5, 2 * indicator)))
    assert channel_names(spec) == ["weather=clear", "weather=rain"]


def test_steps_are_the_rows_of_the_window():
    layer = Preprocess.from_spec(make_spec(impute="forward", missing_indicator=True))
    values = window(1, 2, 3, 0)
    state = layer.initial_state(1)
    for step, wanted in enumerate(np.asarray(layer(values))[0]):
        channels, state = layer.step(values[:, step], state)
        np.testing.assert_array_equal(np.asarray(channels)[0], wanted)


def test_many_words_share_signs_that_hang_on_their_text_alone():
    words = [f"word {i}" for i in range(200)]
    spec = make_spec(words, range(1, 200))  # the last one is not in train
    channels = np.asarray(Preprocess.from_spec(spec)(window(*range(201))))[0, :, 2:]
    assert channels.shape[1] == MOST_CHANNELS and len(np.unique(channels, axis=0)) == 200
    np.testing.assert_array_equal(channels[[0, 200]], np.zeros((2, MOST_CHANNELS)))
    np.testing.assert_array_equal(channels[1:200], signs(words)[:199])
    turned = make_spec(words[::-1], range(2, 201))
    other = np.asarray(Preprocess.from_spec(turned)(window(*range(201))))[0, :, 2:]
    np.testing.assert_array_equal(other[1:201], channels[1:201][::-1])


def test_the_layer_comes_back_from_its_configuration():
    layer = Preprocess.from_spec(make_spec())
    again = Preprocess.from_config(layer.get_config())
    np.testing.assert_array_equal(np.asarray(again(window(3, 1))), np.asarray(layer(window(3, 1))))


def test_a_column_of_words_that_train_never_had_tells_nothing():
    channels = np.asarray(Preprocess.from_spec(make_spec(seen=()))(window(1, 2)))[0]
    np.testing.assert_array_equal(channels, [[1, 0], [1, 0]])


def test_raw_numbers_stay_raw_beside_the_words():
    layer = ExpandWords(settings(make_spec()), 2)
    values = window(1, 3, np.nan)
    values[0, 1, 0] = np.nan
    np.testing.assert_array_equal(np.asarray(layer(values))[0], [[12, 0, 1, 0], [np.nan, 0, 0, 1], [12, 0, 0, 0]])
