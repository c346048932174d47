"""On what a trial is judged: the validation parts behind its score, and what less of a budget means."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import config
from keras_seq.config import Experiment
from keras_seq.errors import ConfigError
from tuning.settings import TuningConfig

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.series import Series

KEPT = 6  # prepared data sets held in memory: the folds of one configuration


def parts(experiment: Experiment, tuning: TuningConfig) -> list[Experiment]:
    """The experiment once for every validation part: one, each fold, or each rolling origin.

    Origins cut the validation rows of a split by time into equal periods (``data.split.periods``), each foretold
    from what lies before it. The test part is that of the experiment in every case.

    Raises:
        ConfigError: origins of a split that is not by time, or more than its validation rows.
    """
    split = experiment.data.split
    if tuning.folds:
        changes: Sequence[dict[str, Any]] = [
            {"data.split.folds": tuning.folds, "data.split.fold": fold} for fold in range(tuning.folds)
        ]
    elif tuning.origins:
        if split.by != "time" or split.origins or split.periods or split.folds:
            raise ConfigError(
                f"Option 'tuning.origins' is {tuning.origins}, which needs data.split.by=time without folds, origins "
                f"or periods of its own (got by={split.by}, folds={split.folds}, origins={split.origins}, "
                f"periods={split.periods}); use tuning.folds for units."
            )
        if split.validation >= 1 and int(split.validation) % tuning.origins:
            raise ConfigError(
                f"Option 'tuning.origins': {split.validation:g} validation steps do not divide by {tuning.origins}."
            )
        changes = [
            {"data.split.periods": tuning.origins, "data.split.period": period} for period in range(tuning.origins)
        ]
    else:
        changes = [{}]
    return [config.replace(experiment, **change) if change else experiment for change in changes]


def without_test(prepared: Prepared) -> Prepared:
    """The same data without any window of the test part, so that no trial can reach it."""
    nothing = np.arange(0)
    index = {name: part.take(nothing) if name == "test" else part for name, part in prepared.index.items()}
    return dataclasses.replace(prepared, index=index)


def fingerprints(series: Series, judged: Sequence[Experiment]) -> dict[str, Any]:
    """Texts that are equal where trials were judged on equal rows: of the series, its schema, and each part's split.

    Raises:
        DataError: a part without rows, or a class without examples in it.
    """
    from keras_seq.data.splits import split

    parts = [split(series, experiment.data).fingerprint for experiment in judged]
    schema = hashlib.sha256(series.schema.model_dump_json().encode()).hexdigest()
    return {"content": series.content(), "schema": schema, "parts": parts}


def fewer_units(prepared: Prepared, share: float) -> Prepared:
    """A share of the training units; a larger share holds the smaller one's."""
    if share >= 1:
        return prepared
    train = prepared.index["train"]
    units = np.unique(train.unit)
    order = np.random.default_rng(0).permutation(units)
    chosen = order[: max(1, math.ceil(share * len(units)))]
    windows = np.flatnonzero(np.isin(train.unit, chosen))
    return dataclasses.replace(prepared, index=prepared.index | {"train": train.take(windows)})


class DataCache:
    """Prepared data by configuration: trials that change no data share them.

    Args:
        windows: that trials may have; their validation parts hold the rows that all of them answer.
    """

    def __init__(self, windows: Sequence[config.WindowsConfig] = ()) -> None:
        self.windows = tuple(windows)
        self._held: OrderedDict[str, Prepared] = OrderedDict()

    def get(self, data: config.DataConfig) -> Prepared:
        """Prepare, or take what an earlier trial prepared; without the test part."""
        from keras_seq.data.prepare import prepare
        from tuning.rows import on_common_rows

        changing = {"augment", "balance", "shuffle", "prefetch", "bucket"}  # read later, when batches are made
        key = data.model_dump_json(exclude=changing)
        if key not in self._held:
            while len(self._held) >= KEPT:
                self._held.popitem(last=False)
            self._held[key] = without_test(on_common_rows(prepare(data), self.windows))
        self._held.move_to_end(key)
        return self._held[key]
