"""Texts of words in the served graph: coded by the vocabulary, as the data are, and the way back for examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.spec import DataSpec
from keras_seq.data.words import code_words

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor


def insert_codes(values: Tensor, words: Tensor, spec: DataSpec) -> Any:
    """Values ``(batch, time, features)`` with the codes of ``words (batch, time, word columns)`` in their places.

    A word is compared as ``keras_seq.data.words.word_of`` writes it; one that is not in the vocabulary is 0.
    """
    import tensorflow as tf

    words = tf.strings.regex_replace(tf.strings.strip(words), r"^([+-]?\d+)\.0*$", r"\1")
    columns = tf.unstack(values, num=len(spec.features), axis=-1)
    for number, column in enumerate(spec.words):
        codes = tf.constant(np.arange(1, len(column.vocabulary) + 1), tf.float32)
        same = tf.equal(words[:, :, number, None], tf.constant(list(column.vocabulary), tf.string))
        columns[column.feature] = tf.reduce_sum(tf.where(same, codes, 0.0), axis=-1)
    return tf.stack(columns, axis=-1)


def codes_of(words: NDArray[np.object_], vocabularies: Mapping[int, Sequence[str]]) -> dict[int, NDArray[np.float32]]:
    """Codes ``(...)`` by feature of texts ``(..., word columns)``, as ``insert_codes`` finds them in the graph."""
    texts = np.array([w.decode(errors="replace") if isinstance(w, bytes) else str(w) for w in words.ravel()], object)
    texts = texts.reshape(words.shape)
    return {
        place: code_words(texts[..., number].ravel(), vocabulary).reshape(words.shape[:-1])
        for number, (place, vocabulary) in enumerate(vocabularies.items())
    }


def texts_of(values: NDArray[np.float32], vocabularies: dict[int, list[str]]) -> NDArray[np.object_]:
    """Words ``(..., word columns)`` of the codes in ``values (..., features)``, as UTF-8; empty where there is none."""
    parts = []
    for place, words in vocabularies.items():
        table = np.array([b"", *(word.encode() for word in words)], object)
        codes = np.nan_to_num(values[..., place]).astype(np.int64)
        parts.append(table[np.where((codes > 0) & (codes < len(table)), codes, 0)])
    return np.stack(parts, axis=-1)
