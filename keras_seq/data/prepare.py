"""Prepared data of a configuration: load, check, split, index windows, fit scaling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.censored import FLAG, bounded, with_bounds
from keras_seq.data.covariates.add import add_covariates, wanted
from keras_seq.data.known import known_targets
from keras_seq.data.observe_calendar import with_calendar
from keras_seq.data.plans.channels import with_plans, without_channels
from keras_seq.data.quality import Finding, QualityReport, check
from keras_seq.data.quality.lengths import check_lengths
from keras_seq.data.quality.parts import check_parts
from keras_seq.data.running_stats import Moments
from keras_seq.data.scaling import check_task, fit_spec, known_moments, part_rows
from keras_seq.data.series import Series
from keras_seq.data.sources.registry import is_streamed, load_series
from keras_seq.data.spec import DataSpec
from keras_seq.data.splits import Part, Splits, split
from keras_seq.data.store.series import StoredSeries
from keras_seq.data.windows import WindowIndex, index_windows, with_known_targets
from keras_seq.errors import ConfigError

# options of a data section that only say how the same rows are divided or fed
NOT_OF_THE_SOURCE = {"split", "augment", "balance", "shuffle", "bucket", "prefetch", "scale"}


@dataclass(frozen=True)
class Prepared:
    """A checked, divided and measured data set.

    Attributes:
        series: the data.
        quality: what the check found (nothing that forbids training).
        splits: units and target rows of train, validation and test.
        index: windows with a known target, by part name.
        spec: fitted on train only.
    """

    series: Series
    quality: QualityReport
    splits: Splits
    index: dict[str, WindowIndex]
    spec: DataSpec

    def statistics(self) -> dict[str, Any]:
        """Per part: units, rows, windows, lengths, missing share, class balance or target range."""
        return {name: self._part_statistics(name, part) for name, part in self.splits.items()}

    def _part_statistics(self, name: str, part: Part) -> dict[str, Any]:
        lengths, index = part.last - part.first, self.index[name]
        values = self.series.values
        if known := known_moments(self.series, part):  # on disk: not a row need be read
            missing = int(part.rows * len(self.series.schema.features) - known[0].count.sum())
        else:
            missing = sum(int(np.isnan(values[low:high]).sum()) for low, high in part_rows(self.series, part))
        result: dict[str, Any] = {
            "units": len(part),
            "groups": len(np.unique(self.series.groups[part.units])),
            "rows": part.rows,
            "windows": len(index),
            "length": {"min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max())},
            "missing_share": missing / max(1, part.rows * len(self.series.schema.features)),
        }
        flags = self.series.truth.get(FLAG)
        if flags is not None:
            result["censored"] = int(flags[part.units].sum())
        if self.spec.classifies:
            names = self.spec.classes
            counts: Counter[int] = Counter()
            for answers in self._answers(part):
                counts.update(answers[np.isfinite(answers)].astype(np.int64).tolist())
            result["classes"] = {names[n] if n < len(names) else str(n): c for n, c in sorted(counts.items())}
            return result
        moments = Moments(1)
        if known and self.series.schema.target_per == "step":
            moments = known[1]
        else:
            for answers in self._answers(part):
                moments.add(answers[:, None])
        result["target"] = {"min": float(moments.low[0]), "mean": float(moments.mean[0]), "max": float(moments.high[0])}
        return result

    def _answers(self, part: Part) -> Iterator[NDArray[np.float32]]:
        """First target of every unit or row of a part, in pieces."""
        if self.series.schema.target_per == "unit":
            yield np.asarray(self.series.targets)[part.units, 0]
            return
        for low, high in part_rows(self.series, part):
            yield self.series.targets[low:high, 0]


def prepare(config: DataConfig) -> Prepared:
    """Load the series, refuse bad data, divide it, number its windows, and fit on the train part.

    Raises:
        DataError: missing or bad data, or a split or window it cannot give.
        ConfigError: unknown source, or settings that contradict each other.
    """
    if is_streamed(config):
        if wanted(config.covariates):
            raise ConfigError(
                "data.covariates are computed in memory; set data.cache=true, or write them into the file."
            )
        from keras_seq.data.store.cache import stored_series

        return prepare_series(stored_series(config), config)
    return prepare_series(read_series(config), config)


def read_series(config: DataConfig) -> Series:
    """The series of a configuration, held in memory, with its covariates; not yet checked."""
    return add_covariates(with_plans(with_calendar(load_series(config, checked=False)), config), config.covariates)


def prepare_series(series: Series, config: DataConfig) -> Prepared:
    """Prepared data of a series that is already loaded; as ``prepare``."""
    if isinstance(series, StoredSeries):
        return _prepare_stored(series, config)
    series = with_bounds(series, config)
    quality = check(without_channels(series), config.windows)
    quality.raise_if_bad()
    return _prepare(series, quality, config)


def _prepare_stored(series: StoredSeries, config: DataConfig) -> Prepared:
    """Prepared data of rows on disk: checked when written; a split stored with them keeps its test part apart."""
    from keras_seq.data.sources.shards import check_split

    findings = tuple(Finding(**finding) for finding in series.stored.manifest["findings"])
    report = QualityReport(series.schema.name, findings, len(series.values), series.n_units)
    quality = report.with_findings(check_lengths(series, config.windows))
    quality.raise_if_bad()
    prepared = _prepare(series, quality, config)
    check_split(series, prepared.splits)
    return prepared


def _prepare(series: Series, quality: QualityReport, config: DataConfig) -> Prepared:
    series = with_calendar(series)
    splits, index, findings = divide(series, config)
    return Prepared(series, quality.with_findings(findings), splits, index, fit_spec(series, splits, config))


def prepare_split(series: Series, config: DataConfig, splits: Splits) -> Prepared:
    """Prepared data of a checked series in memory that is divided already, as inner folds of a train part are."""
    index = _known_windows(series, splits, config)
    quality = QualityReport(series.schema.name, (), len(series.values), series.n_units)
    return Prepared(series, quality, splits, index, fit_spec(series, splits, config))


def divide(series: Series, config: DataConfig) -> tuple[Splits, dict[str, WindowIndex], list[Finding]]:
    """Split, windows with a known target of each part, and quality findings of the parts.

    Raises:
        DataError: a split or window that the data cannot give.
        ConfigError: settings that contradict each other.
    """
    check_task(series, config)
    splits = split(series, config)
    index = _known_windows(series, splits, config)
    return splits, index, check_parts(without_channels(series), splits, index, config.windows.horizon)


def _known_windows(series: Series, splits: Splits, config: DataConfig) -> dict[str, WindowIndex]:
    known, bound = known_targets(series), bounded(series)
    learnt = known if known is None or bound is None else known | bound
    return {
        name: with_known_targets(
            series,
            index_windows(series, part, config.windows),
            learnt if name == "train" else known,
            config.windows,
            name,
        )
        for name, part in splits.items()
    }
