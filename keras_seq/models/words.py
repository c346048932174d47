"""Words in the graph: codes of a column of categories in, channels out.

A column holds codes: 1, 2, ... for the words of its vocabulary, 0 for a missing word and for one that is not in it.
Up to ``MOST_CHANNELS`` words of train get a channel each (1 where the word stands); of more the channels are fixed
signs drawn from the word's own sha256, so that any two words differ in about half of them. Both are sums and
products of constants: networks, trees, ridge, the step graph, ONNX and TFLite carry them alike, and nothing is learnt
that a fitted family could not have. Words that train does not hold give 0 in all channels, as code 0 does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_seq.data.spec import DataSpec, WordColumn
from keras_seq.models.layer import Float32Layer, package
from keras_seq.models.tensor import LayerOptions, Shape, Tensor

MOST_CHANNELS = 32


class WordChannels:
    """Channels of the columns of words.

    Args:
        words: for each such column ``{"feature", "codes", "words"}``: its position, the codes of the words of train
            and their texts.
        features: columns in all.
    """

    def __init__(self, words: Sequence[dict[str, Any]], features: int) -> None:
        self.places = [int(word["feature"]) for word in words]
        self.codes = [np.asarray(word["codes"], np.float32) for word in words]
        self.signs = [signs(word["words"]) if len(word["codes"]) > MOST_CHANNELS else None for word in words]
        self.numbers = np.ones(features, np.float32)  # 0 at columns of words
        self.numbers[self.places] = 0.0

    @property
    def count(self) -> int:
        """Channels of all columns of words."""
        return len(self.owners)

    @property
    def owners(self) -> list[int]:
        """Position of the column of words of each channel."""
        return [
            place
            for place, codes in zip(self.places, self.codes, strict=True)
            for _ in range(min(len(codes), MOST_CHANNELS))
        ]

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Finite codes among ``(..., features)`` to ``(..., channels)`` of each column of words.

        Between two codes the channels are drawn through in a line, so that gradients of a path have a meaning.
        """
        parts = []
        for place, codes, sign in zip(self.places, self.codes, self.signs, strict=True):
            if len(codes):
                channels = ops.relu(1.0 - ops.abs(x[..., place : place + 1] - codes))
                parts.append(channels if sign is None else ops.matmul(channels, sign))
        return parts


def signs(words: Sequence[str]) -> NDArray[np.float32]:
    """Signs ``(words, MOST_CHANNELS)`` of -1 and 1 that hang on the words' texts alone."""
    digests = [hashlib.sha256(word.encode()).digest()[: MOST_CHANNELS // 8] for word in words]
    bits = np.unpackbits(np.frombuffer(b"".join(digests), np.uint8).reshape(len(words), -1), axis=1)
    return (2.0 * bits - 1.0).astype(np.float32)


def channel_names(spec: DataSpec) -> list[str]:
    """Names of the channels, ``column=word`` or ``column#number``."""
    return [name for column in spec.words for name in _names(spec.features[column.feature], column)]


def _names(feature: str, column: WordColumn) -> list[str]:
    if len(column.seen) > MOST_CHANNELS:
        return [f"{feature}#{number}" for number in range(MOST_CHANNELS)]
    return [f"{feature}={column.vocabulary[code - 1]}" for code in column.seen]


def settings(spec: DataSpec) -> list[dict[str, Any]]:
    """What layers keep of the columns of words, as plain values."""
    return [
        {
            "feature": column.feature,
            "codes": list(column.seen),
            "words": [column.vocabulary[code - 1] for code in column.seen],
        }
        for column in spec.words
    ]


@package
class ExpandWords(Float32Layer):
    """Raw columns with 0 in place of codes, and the words' channels behind them; numbers pass, NaN too.

    Args:
        words: see ``WordChannels``.
        features: columns in all.
    """

    def __init__(self, words: Sequence[dict[str, Any]], features: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.words, self.features = list(words), features
        self.channels = WordChannels(self.words, features)

    def call(self, x: Tensor) -> Tensor:
        """``(batch, time, features)`` to ``(batch, time, features + channels)``."""
        codes = ops.where(ops.not_equal(x, x), ops.zeros_like(x), x)
        numbers = ops.where(ops.cast(self.channels.numbers, "bool"), x, 0.0)
        return ops.concatenate([numbers, *self.channels(codes)], axis=-1)

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        """More channels."""
        return (*x_shape[:-1], self.features + self.channels.count)
