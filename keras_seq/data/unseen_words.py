"""Words of a table that the vocabularies of a trained model do not hold, counted and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from keras_seq.data.words import word_of
from keras_seq.errors import shorten

SHOWN = 3  # words that are named


class UnseenWords:
    """Words outside their column's vocabulary, with their rows.

    Args:
        vocabularies: words by column.
    """

    def __init__(self, vocabularies: Mapping[str, Sequence[str]]) -> None:
        self._known = {name: frozenset(words) for name, words in vocabularies.items()}
        self._unseen: dict[str, Counter[str]] = {name: Counter() for name in vocabularies}
        self._filled: Counter[str] = Counter()

    def add(self, name: str, counts: Iterable[tuple[object, int]]) -> None:
        """Take values of a column and how many rows have each; None, NaN and empty ones are missing."""
        for value, rows in counts:
            if value is None or value != value or not (word := word_of(value)):
                continue
            self._filled[name] += rows
            if word not in self._known[name]:
                self._unseen[name][word] += rows

    def remarks(self) -> tuple[str, ...]:
        """One line for each column that has some: its words, and their share of the filled rows."""
        lines = []
        for name, counts in self._unseen.items():
            if not counts:
                continue
            share = counts.total() / self._filled[name]
            shown = ", ".join(str(shorten(word)) for word, _ in counts.most_common(SHOWN))
            more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
            what = "none but words" if share == 1 else "words"
            lines.append(
                f"column '{name}' holds {what} that the model does not know: {shown}{more} ({share:.1%} of its filled "
                "rows); they are taken for missing"
            )
        return tuple(lines)
