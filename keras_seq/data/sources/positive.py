"""The positive class of two: asked for by ``data.positive``, else the rarer one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.sources.registry import source_info
from keras_seq.errors import ConfigError, nearest

if TYPE_CHECKING:
    from keras_seq.config import Experiment
    from keras_seq.data.spec import DataSpec

FLAGS = (("0", "1"), ("false", "true"))  # pairs that say themselves which one is positive: the second


def order_classes(
    classes: tuple[str, ...], counts: Mapping[str, int], *, asked: str | None, listed: bool, target: str
) -> tuple[str, ...]:
    """Two class texts, negative first.

    Args:
        classes: sorted, or as the schema lists them.
        counts: how often each occurs: by unit where a unit has one class, else by row.
        asked: ``data.positive``.
        listed: the schema lists ``classes``; their order stands.
        target: name of the column, for messages.

    Raises:
        ConfigError: ``asked`` is no class, or not the second one that the schema lists.
    """
    negative, positive = classes
    if asked is not None and asked not in classes:
        raise ConfigError(
            f"Option 'data.positive' is '{asked}', which is no class of '{target}'{nearest(asked, classes)}"
        )
    if listed:
        if asked is not None and asked != positive:
            raise ConfigError(
                f"Option 'data.positive' is '{asked}', but the schema lists the classes {negative}, {positive}, of "
                "which the second one is positive. Give one of the two, or turn the schema's classes round."
            )
        return classes
    if asked is None:
        asked = positive
        is_flag = tuple(text.lower() for text in classes) in FLAGS
        if not is_flag and counts.get(negative, 0) < counts.get(positive, 0):
            asked = negative
    return (negative, positive) if asked == positive else (positive, negative)


def count_labels(codes: NDArray[Any], unit: NDArray[np.integer], known: NDArray[Any]) -> list[int]:
    """How often each label occurs: units where every unit has one label, else rows.

    Args:
        codes: label of each row ``(rows,)``; what is not among ``known`` is missing.
        unit: unit number of each row ``(rows,)``.
        known: labels ``(labels,)``, rising.
    """
    there = np.isin(codes, known)
    position = np.searchsorted(known, codes[there])
    pairs = np.unique(unit[there].astype(np.int64) * max(len(known), 1) + position)
    units = len(np.unique(unit[there]))
    if units > 1 and len(pairs) == units:
        position = pairs % len(known)
    return np.bincount(position, minlength=len(known)).tolist()


def with_positive(experiment: Experiment, spec: DataSpec) -> Experiment:
    """The experiment whose ``data.positive`` names the class that the model was taught.

    Read again, the same file or another one gets the same class, however often it occurs there.
    """
    data = experiment.data
    if (
        spec.task != "binary"
        or not source_info(data.source).is_table
        or len(spec.classes) != 2
        or data.positive is not None
    ):
        return experiment
    if spec.classes == ("0", "1"):
        return experiment
    return experiment.model_copy(update={"data": data.model_copy(update={"positive": spec.classes[1]})})
