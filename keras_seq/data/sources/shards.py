"""A folder of shards as a source; rows stay on disk, whatever ``data.cache`` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from keras_seq.config import DataConfig
from keras_seq.data.sources.registry import SourceInfo, register
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from keras_seq.data.series import Series
    from keras_seq.data.splits import Splits
    from keras_seq.data.store.series import StoredSeries


@register(
    SourceInfo("shards", "a folder written by python -m keras_seq.data shard (--data.path)", is_shards=True, rank=99)
)
def load_shards(config: DataConfig) -> StoredSeries:
    """The shards in ``data.path``, once they are seen to be whole and what the configuration asks for.

    Raises:
        ConfigError: no ``data.path``; options that were settled when the shards were written.
        DataError: unfinished, missing, truncated or changed shards.
    """
    from keras_seq.data.covariates.add import wanted
    from keras_seq.data.plans.marks import refuse_on_disk
    from keras_seq.data.store.folder import open_store, verify

    if config.known_ahead:
        refuse_on_disk(config.known_ahead[0])
    if wanted(config.covariates):
        raise ConfigError("data.covariates are computed in memory; write them into the files before sharding.")
    if not config.path:
        raise ConfigError(
            "Source 'shards' needs data.path, a folder written by 'python -m keras_seq.data shard' (--data.path)."
        )
    series = open_store(config.path)
    _check_options(series, config)
    if config.shards.verify:
        verify(series)
    return series


def check_split(series: Series, splits: Splits) -> None:
    """Refuse a split that would train on units, or times, which the shards keep for the test.

    Other validation parts and folds of the same training rows are allowed.

    Raises:
        ConfigError: names the split that is stored.
    """
    folder = cast("StoredSeries", series).stored
    stored = folder.manifest.get("split")
    if stored is None or splits.fingerprint == stored["fingerprint"]:
        return
    test, mine = stored["parts"]["test"], splits.test
    if all(np.array_equal(test[name], getattr(mine, name)) for name in ("units", "first", "last")):
        return
    settings = ", ".join(
        f"data.split.{name}={stored['settings'][name]}" for name in ("by", "test", "seed", "origins", "origin")
    )
    raise ConfigError(
        f"The split asked for has other test rows than the one stored with the shards in '{folder.folder}' "
        f"({settings}), so rows kept for the test would be trained on. Use these settings, or write the shards again "
        "with the new ones."
    )


def _check_options(series: StoredSeries, config: DataConfig) -> None:
    """Options that shape rows must be left out, or be those of the shards."""
    schema, stored = series.schema, series.stored.manifest["options"]
    settled: dict[str, Any] = {name: getattr(schema, f"{name}_column") for name in ("unit", "group", "time")}
    settled |= {name: getattr(schema, name) for name in ("task", "targets", "features")}
    wrong = [(name, value) for name, value in settled.items() if getattr(config, name) not in (None, (), value)]
    filled = stored["impute"] != "none" or stored["missing_indicator"]
    if filled and config.impute == "none" and not config.missing_indicator:
        rows = len(series.values)
        if (series.moments([(0, rows)])[0].count < rows).any():
            wrong.append(("impute", stored["impute"]))
    for name, value in wrong:
        raise ConfigError(
            f"data.{name}={getattr(config, name)!r} does not fit the shards in '{series.stored.folder}', which were "
            f"written with {value!r}. Use that, or write the shards again."
        )
