"""Statistics fitted on the train part: scaler, operating conditions, fill values, target mean and deviation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.running_stats import Moments, sample_rows
from keras_seq.data.series import Series
from keras_seq.data.shared_columns import shared_columns
from keras_seq.data.spec import DataSpec, Scaling
from keras_seq.data.splits import Part, Splits
from keras_seq.data.train_words import leave_codes, train_words
from keras_seq.data.windows import window_runs
from keras_seq.errors import ConfigError, DataError
from keras_seq.tasks import classifies

Float = NDArray[np.float64]
CHUNK = 65536  # rows read at a time
SAMPLE = 200_000  # most rows for quantiles and clustering
IQR_OF_NORMAL = 1.3489795  # interquartile range of a normal distribution, in deviations


def fit_spec(series: Series, splits: Splits, config: DataConfig) -> DataSpec:
    """Fit what a model must know of the data, from rows of the train part only.

    Z-score and min-max come from one pass in chunks, merged by Chan, Golub and LeVeque's formula
    (numerically stable, exact); robust scaling (median and interquartile range over 1.349) and the
    operating conditions (k-means on the standardised condition columns) from at most 200,000 rows.

    Args:
        series: the data; NaN is left out of every number.
        splits: only ``splits.train`` is read.
        config: task, windows, scale, conditions, impute, target_cap.

    Raises:
        ConfigError: conditions are asked for and no column tells them, or settings contradict each other.
        DataError: fewer distinct operating conditions than asked for.
    """
    schema, windows = series.schema, config.windows
    task = config.task or schema.task
    check_task(series, config)
    time, variable = window_time(series, splits, config)
    scaling = _fit_scaling(series, splits.train, config)
    words = train_words(series, part_rows(series, splits.train))
    mean, std = _target_statistics(series, splits.train, config) if not classifies(task) else ((), ())
    positions = [schema.features.index(name) for name in schema.targets if name in schema.features]
    return DataSpec(
        task=task,
        features=schema.features,
        targets=schema.targets,
        time=time,
        variable_length=variable,
        per_step=windows.per_step,
        horizon=windows.horizon,
        classes=schema.classes,
        target_mean=mean,
        target_std=std,
        target_index=tuple(positions) if task == "forecast" and len(positions) == len(schema.targets) else (),
        censored=series.bounds is not None,
        impute=config.impute,
        missing_indicator=config.missing_indicator,
        scaling=leave_codes(scaling, [column.feature for column in words]),
        words=words,
    )


def check_task(series: Series, config: DataConfig) -> None:
    """Refuse windows that cannot carry the task.

    Raises:
        ConfigError: names the options that contradict each other.
    """
    windows, task = config.windows, config.task or series.schema.task
    if task == "forecast" and not windows.horizon:
        raise ConfigError("Task 'forecast' needs data.windows.horizon of at least 1 step, got 0.")
    if task != "forecast" and windows.horizon:
        raise ConfigError(
            f"data.windows.horizon={windows.horizon} is for task 'forecast', but the task is '{task}'. "
            "Set data.windows.horizon=0, or data.task=forecast."
        )
    if task == "forecast" and series.schema.target_per == "unit":
        raise ConfigError("Task 'forecast' needs a target per step, but this data set has one target per unit.")
    if windows.per_step and (task == "forecast" or series.schema.target_per == "unit"):
        raise ConfigError(
            f"data.windows.per_step=true needs values or classes with a target per step, but the task is '{task}' with "
            f"a target per {series.schema.target_per}. Set data.windows.per_step=false."
        )
    if windows.per_step and config.balance == "oversample":
        raise ConfigError(
            "data.balance=oversample draws windows by their class, but with data.windows.per_step=true every step of a "
            "window has one of its own. Use training.class_weight=balanced, which weighs steps."
        )


def window_time(series: Series, splits: Splits, config: DataConfig) -> tuple[int, bool]:
    """Longest window of all parts, and whether shorter ones occur (only lengths are read).

    Whole sequences: no longer than the longest unit. Sliding and last windows: ``windows.length``. An answer at every
    step is taught on every beginning of a window, so it may be asked of shorter ones too.
    """
    runs = [window_runs(series, part, config.windows) for _, part in splits.items()]
    longest, shortest = max(r.longest for r in runs), min(r.shortest for r in runs)
    time = longest if config.windows.mode == "whole" else config.windows.length
    return time, shortest < time or config.windows.per_step


def part_rows(series: Series, part: Part, chunk: int = CHUNK) -> Iterator[tuple[int, int]]:
    """Row ranges of a part, neighbouring units joined, at most ``chunk`` rows each."""
    if not len(part):
        return
    apart = np.flatnonzero(part.first[1:] != part.last[:-1])
    firsts = part.first[np.concatenate([[0], apart + 1])]
    lasts = part.last[np.concatenate([apart, [len(part) - 1]])]
    for first, last in zip(firsts, lasts, strict=True):
        for low in range(int(first), int(last), chunk):
            yield low, min(low + chunk, int(last))


def known_moments(series: Series, part: Part) -> tuple[Moments, Moments] | None:
    """Moments of the values and targets of a part, where they are stored with the rows (on disk); else None."""
    stored = getattr(series, "moments", None)
    return None if stored is None else stored(part_rows(series, part, np.iinfo(np.int64).max))


def _fit_scaling(series: Series, train: Part, config: DataConfig) -> Scaling:
    features = len(series.schema.features)
    overall = Moments(features)
    clustered = config.conditions >= 2 and config.scale != "none"
    columns, deviations, centroids = _fit_conditions(series, train, config) if clustered else ((), (), ())
    groups = [Moments(features) for _ in centroids] if clustered else [overall]
    known = None if clustered else known_moments(series, train)
    if known is not None:
        overall.merge(known[0].table())
    for low, high in part_rows(series, train) if known is None else ():
        rows = np.asarray(series.values[low:high], np.float64)
        overall.add(rows)
        if clustered:
            label = nearest_condition(rows[:, list(columns)], np.array(centroids), np.array(deviations))
            for number, group in enumerate(groups):
                group.add(rows[label == number])
    center, scale = _center_and_scale(series, train, config, groups, columns, centroids, deviations)
    constant = _constant(groups) & (config.scale != "none")
    return Scaling(
        center=_tuples(center),
        scale=_tuples(scale),
        fill=tuple(np.where(overall.count > 0, overall.mean, 0.0).tolist()),
        constant=tuple(tuple(row) for row in constant.tolist()) if constant.any() else (),
        shared=shared_columns(series, train),
        condition_features=columns,
        condition_scale=deviations,
        centroids=centroids,
    )


def _constant(groups: list[Moments]) -> NDArray[np.bool_]:
    """Features without a spread that float32 could hold, or never seen; ``(conditions, features)``."""
    return np.stack([is_constant(group) for group in groups])


def is_constant(moments: Moments) -> NDArray[np.bool_]:
    """Columns whose values do not differ, or by less than float32 tells apart; ``(columns,)``."""
    spread = np.maximum(1e-7 * np.abs(moments.mean), np.finfo(np.float32).tiny)
    return ~(moments.high > moments.low) | (moments.std <= spread)


def _center_and_scale(
    series: Series,
    train: Part,
    config: DataConfig,
    groups: list[Moments],
    columns: tuple[int, ...],
    centroids: tuple[tuple[float, ...], ...],
    deviations: tuple[float, ...],
) -> tuple[Float, Float]:
    """``(conditions, features)`` each; what is constant or never seen in train has scale 1."""
    mean, std = np.stack([g.mean for g in groups]), np.stack([g.std for g in groups])
    low, high = np.stack([g.low for g in groups]), np.stack([g.high for g in groups])
    if config.scale == "none":
        return np.zeros_like(mean), np.ones_like(mean)
    center, scale = mean, std
    if config.scale == "minmax":
        center, scale = low, high - low
    elif config.scale == "robust":
        rows = sample_rows(series, part_rows(series, train), SAMPLE, config.split.seed)
        label = (
            nearest_condition(rows[:, list(columns)], np.array(centroids), np.array(deviations))
            if centroids
            else np.zeros(len(rows), np.int64)
        )
        center, scale = _quantile_scale(rows, label, len(groups), fallback=std)
    center = np.where(np.isfinite(center), center, 0.0)
    return center, np.where(_constant(groups) | ~np.isfinite(scale) | (scale <= 0), 1.0, scale)


def _quantile_scale(rows: Float, label: NDArray[np.int64], count: int, fallback: Float) -> tuple[Float, Float]:
    """Median and interquartile range per condition; where the range is 0, the deviation."""
    center, scale = np.zeros((count, rows.shape[1])), fallback.copy()
    for number in range(count):
        for feature in range(rows.shape[1]):
            column = rows[label == number, feature]
            column = column[np.isfinite(column)]
            if len(column):
                low, center[number, feature], high = np.quantile(column, (0.25, 0.5, 0.75))
                if high > low:
                    scale[number, feature] = (high - low) / IQR_OF_NORMAL
    return center, scale


def _fit_conditions(
    series: Series, train: Part, config: DataConfig
) -> tuple[tuple[int, ...], tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Columns, their deviations, and the centres of the operating conditions (raw units)."""
    from sklearn.cluster import KMeans

    columns = series.schema.condition_indices
    if not columns:
        raise ConfigError(
            f"data.conditions={config.conditions} asks for operating conditions, but no column of the schema "
            f"'{series.schema.name}' has kind 'condition'. Mark the columns that tell them, or set data.conditions=0."
        )
    rows = sample_rows(series, part_rows(series, train), SAMPLE, config.split.seed)[:, list(columns)]
    rows = rows[np.isfinite(rows).all(axis=1)]
    deviation = rows.std(axis=0) if len(rows) else np.ones(len(columns))
    deviation = np.where(deviation > 1e-7 * np.abs(rows.mean(axis=0) if len(rows) else 0.0), deviation, 1.0)
    distinct = len(np.unique(np.round(rows / deviation, 6), axis=0)) if len(rows) else 0
    if distinct < config.conditions:
        raise DataError(
            f"data.conditions={config.conditions} operating conditions were asked for, but the train rows of "
            f"{[series.schema.features[i] for i in columns]} hold {distinct} distinct settings. Lower data.conditions."
        )
    fitted = KMeans(config.conditions, n_init=4, random_state=config.split.seed).fit(rows / deviation)
    centroids = fitted.cluster_centers_ * deviation
    return columns, tuple(deviation.tolist()), _tuples(centroids[np.lexsort(centroids.T[::-1])])


def nearest_condition(rows: Float, centroids: Float, deviations: Float) -> NDArray[np.int64]:
    """Number of the nearest centre, ``(rows,)``; missing settings count as that column's mean centre."""
    rows = np.where(np.isfinite(rows), rows, centroids.mean(axis=0)) / deviations
    distance = ((rows[:, None, :] - (centroids / deviations)[None]) ** 2).sum(axis=2)
    return distance.argmin(axis=1)


def _target_statistics(series: Series, train: Part, config: DataConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the train targets, after the cap; constant targets have deviation 1."""
    moments = Moments(len(series.schema.targets))
    if series.schema.target_per == "unit":
        moments.add(_capped(np.asarray(series.targets)[train.units], config.target_cap))
    elif config.target_cap is None and (known := known_moments(series, train)):
        moments = known[1]
    else:
        for low, high in part_rows(series, train):
            moments.add(_capped(series.targets[low:high], config.target_cap))
    mean = np.where(moments.count > 0, moments.mean, 0.0)
    std = np.where(is_constant(moments), 1.0, moments.std)
    return tuple(mean.tolist()), tuple(std.tolist())


def _capped(targets: NDArray[np.floating], cap: float | None) -> Float:
    exact: Float = np.asarray(targets, np.float64)
    return exact if cap is None else np.minimum(exact, np.float64(cap))


def _tuples(array: Float) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in array.tolist())
