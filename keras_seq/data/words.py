"""Words as inputs: which columns hold categories, their vocabularies, and the codes of words.

A column of categories holds codes in ``Series.values``: 1, 2, ... for the words of ``Column.vocabulary``, 0 for a
missing word and for one that is not in it. The vocabulary is the table's, sorted, so that neither the order of rows nor
the division into parts changes a code; which of its words train holds stands in ``DataSpec.words``, and a model takes
the others for missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.reading.batches import read_batches
from keras_seq.data.reading.labels import natural, own_text
from keras_seq.data.reading.reading import Reading
from keras_seq.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_WORDS = 1000
OTHER = "other"  # shown for code 0
_WRITTEN_NUMBER = re.compile(r"[-+]?[$€£]?\s?\d")


def word_of(value: object) -> str:
    """A word as the vocabulary has it: without blanks around it; whole numbers without empty decimals."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    return own_text(str(value).strip())


def code_words(words: Iterable[Any], vocabulary: Sequence[str]) -> NDArray[np.float32]:
    """Codes ``(rows,)`` of words or other values; None, NaN, empty and unknown ones are 0."""
    table = {word: float(number) for number, word in enumerate(vocabulary, 1)}
    codes = (0.0 if word is None or word != word else table.get(word_of(word), 0.0) for word in words)
    return np.fromiter(codes, np.float32)


def code_column(column: pa.Array, vocabulary: Sequence[str]) -> NDArray[np.float32]:
    """Codes ``(rows,)`` of an Arrow column of texts."""
    encoded = column.dictionary_encode()
    table = np.append(code_words(encoded.dictionary.to_pylist(), vocabulary), np.float32(0.0))
    return table[encoded.indices.fill_null(len(table) - 1).to_numpy(zero_copy_only=False)]


def count_words(path: Path, names: Collection[str], reading: Reading) -> dict[str, dict[str, int]]:
    """Words of columns and their rows, ``{column: {word: rows}}``, over the whole file.

    Raises:
        DataError: a column holds more than ``MOST_WORDS`` words; says how to mend it.
    """
    import pyarrow.compute as pc

    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for batch in read_batches(path, dict.fromkeys(names, "text"), reading):
        for name in names:
            pairs = pc.value_counts(batch.column(name))
            for text, rows in zip(pairs.field(0).to_pylist(), pairs.field(1).to_pylist(), strict=True):
                if text is not None and (word := word_of(text)):
                    counts[name][word] = counts[name].get(word, 0) + rows
            if len(counts[name]) > MOST_WORDS:
                raise DataError(too_many(path, name))
    return counts


def merge_vocabularies(paths: Sequence[Path], names: Collection[str], reading: Reading) -> dict[str, tuple[str, ...]]:
    """Vocabularies of columns over several files.

    Raises:
        DataError: too many words.
    """
    words: dict[str, set[str]] = {name: set() for name in names}
    for path in paths:
        for name, counts in count_words(path, names, reading).items():
            words[name] |= counts.keys()
            if len(words[name]) > MOST_WORDS:
                raise DataError(too_many(path, name))
    return {name: tuple(sorted(found, key=natural)) for name, found in words.items()}


def too_many(path: Path, name: str) -> str:
    """The message for a column of too many words."""
    return (
        f"Column '{name}' of '{path}' holds more than {MOST_WORDS} different words, so it looks like an identity or "
        "free text and not like a category; leave it out of data.features, or write fewer, wider categories into it."
    )


def settle_vocabularies(
    path: Path, given: Mapping[str, Sequence[str]], asked: Collection[str], reading: Reading
) -> dict[str, tuple[str, ...]]:
    """Vocabulary of each column of words, sorted; one that the user gives is taken as it is.

    Args:
        path: the file.
        given: vocabularies by column, empty where the file tells them.
        asked: columns that the user calls categories: whatever they hold is a word.
        reading: how the file is read.

    Raises:
        DataError: too many words, or numbers and dates in a writing of their own that nobody called categories.
    """
    open_names = [name for name, words in given.items() if not words]
    counts = count_words(path, open_names, reading) if open_names else {}
    for name in open_names:
        if name not in asked:
            _refuse_numbers(path, name, counts[name])
    return {name: tuple(words) or tuple(sorted(counts[name], key=natural)) for name, words in given.items()}


def _refuse_numbers(path: Path, name: str, counts: Mapping[str, int]) -> None:
    written = written_numbers(counts)
    if written:
        raise DataError(
            f"Column '{name}' of '{path}' holds text such as '{written[0]}' where a number is expected; write plain "
            f"numbers, leave the column out of data.features, or take its texts as words: --data.categories '[{name}]'."
        )


def written_numbers(words: Collection[str]) -> list[str]:
    """Words that begin as a number or date does, where they are half of all or more; else none."""
    written = [word for word in words if _WRITTEN_NUMBER.match(word)]
    return written if 2 * len(written) >= len(words) else []


def check_vocabulary(name: str, words: Sequence[str]) -> None:
    """Refuse a vocabulary of the user's that cannot be one.

    Raises:
        ConfigError: a word is empty or there twice, or there are too many.
    """
    doubled = next((word for word in words if list(words).count(word) > 1), None)
    if doubled is not None or not all(word == word_of(word) and word for word in words):
        wrong = doubled if doubled is not None else next(word for word in words if word != word_of(word) or not word)
        raise ConfigError(
            f"The vocabulary of column '{name}' holds '{wrong}', which is empty, has blanks around it or is there "
            "twice; list every word once, as the table has it."
        )
    if len(words) > MOST_WORDS:
        raise ConfigError(f"The vocabulary of column '{name}' holds {len(words)} words, at most {MOST_WORDS} are read.")
