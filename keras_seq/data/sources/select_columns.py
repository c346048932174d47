"""The configured task, targets and features of a loaded series."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_seq.config import DataConfig, TaskName
from keras_seq.data.series import Float, Schema, Series
from keras_seq.errors import ConfigError, nearest
from keras_seq.tasks import classifies


def choose(series: Series, config: DataConfig) -> Series:
    """Keep the configured features and targets, under the configured task.

    Targets may be the source's own, or feature columns: a forecast looks at their future; for any other
    task such a column becomes the target of its step and leaves the inputs.

    Raises:
        ConfigError: unknown names, a task that the targets do not fit, a target that is also an input.
    """
    return choose_features(_choose_targets(series, config), config.features)


def choose_features(series: Series, names: tuple[str, ...]) -> Series:
    """Keep the input columns ``names``, in this order; all where empty.

    Raises:
        ConfigError: a name is unknown or given twice, or a forecast would lose its target column.
    """
    schema = series.schema
    if not names or names == schema.features:
        return series
    for name in names:
        if name not in schema.features:
            extra = f" ('{name}' is a target)" if name in schema.targets else ""
            raise ConfigError(f"Unknown feature '{name}' in data.features{extra}{nearest(name, schema.features)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"data.features names a column twice: {list(names)}.")
    lost = [name for name in schema.targets if name not in names]
    if schema.task == "forecast" and lost:
        raise ConfigError(
            f"data.features {list(names)} leave out '{lost[0]}', the series to be forecast; add it, or choose other "
            "data.targets."
        )
    positions = [schema.features.index(name) for name in names]
    return dataclasses.replace(
        series,
        schema=schema.model_copy(update={"columns": tuple(schema.columns[i] for i in positions)}),
        values=np.ascontiguousarray(series.values[:, positions]),
    )


def _choose_targets(series: Series, config: DataConfig) -> Series:
    schema = series.schema
    task = config.task or schema.task
    names = config.targets or _default_targets(schema, task)
    _known(schema, names)
    if task == schema.task and names == schema.targets:
        return series
    taken = tuple(name for name in names if name in schema.features)
    if task == "forecast" and len(taken) < len(names):
        other = next(name for name in names if name not in taken)
        raise ConfigError(
            f"Task 'forecast' needs targets that are input columns; '{other}' is not. Choose data.targets among "
            f"{', '.join(schema.features)}."
        )
    if taken:
        return _from_features(series, task, names, taken, config)
    if (classifies(task)) != (schema.classifies) and not classifies(task):
        raise ConfigError(
            f"Task '{task}' does not fit target '{names[0]}' of '{schema.name}', which is a class; use task "
            f"'{schema.task}' or other data.targets."
        )
    targets = series.targets[:, [schema.targets.index(name) for name in names]]
    update = {"task": task, "targets": names, "classes": _classes(task, targets, names, schema.classes)}
    return dataclasses.replace(series, schema=schema.model_copy(update=update), targets=np.ascontiguousarray(targets))


def _default_targets(schema: Schema, task: TaskName) -> tuple[str, ...]:
    if task == schema.task or (task != "forecast" and schema.task != "forecast"):
        return schema.targets
    if task == "forecast" and set(schema.targets) <= set(schema.features):
        return schema.targets
    raise ConfigError(
        f"Task '{task}' does not fit the targets of '{schema.name}' ({', '.join(schema.targets)}; task "
        f"'{schema.task}'); name columns with data.targets, or leave data.task out."
    )


def _known(schema: Schema, names: tuple[str, ...]) -> None:
    known = dict.fromkeys((*schema.targets, *schema.features))
    for name in names:
        if name not in known:
            raise ConfigError(f"Unknown target '{name}' in data.targets{nearest(name, known)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"data.targets names a column twice: {list(names)}.")


def _from_features(
    series: Series, task: TaskName, names: tuple[str, ...], taken: tuple[str, ...], config: DataConfig
) -> Series:
    schema = series.schema
    if len(taken) < len(names):
        raise ConfigError(
            f"data.targets {list(names)} mix input columns with the targets of '{schema.name}'; choose one kind."
        )
    positions = [schema.features.index(name) for name in taken]
    targets = np.ascontiguousarray(series.values[:, positions])
    units = {schema.columns[i].unit for i in positions}
    update = {
        "task": task,
        "targets": names,
        "target_per": "step",
        "target_unit": units.pop() if len(units) == 1 else "",
        "classes": _classes(task, targets, names, ()),
    }
    series = dataclasses.replace(series, schema=schema.model_copy(update=update), targets=targets)
    if task == "forecast":
        return series
    both = [name for name in taken if name in config.features]
    if both:
        raise ConfigError(f"'{both[0]}' is in data.targets and in data.features; a target cannot be its own input.")
    rest = tuple(name for name in schema.features if name not in taken)
    if not rest:
        raise ConfigError(f"data.targets {list(names)} leave no input column of '{schema.name}'.")
    return choose_features(series, rest)


def _classes(task: TaskName, targets: Float, names: tuple[str, ...], classes: tuple[str, ...]) -> tuple[str, ...]:
    """Class texts by number, once the targets are seen to be class numbers."""
    if not classifies(task):
        return ()
    if len(names) != 1:
        raise ConfigError(f"Task '{task}' takes one target column, got data.targets {list(names)}.")
    labels = np.unique(targets[np.isfinite(targets)])
    highest = 1 if task == "binary" else np.inf
    wrong = labels[~((labels == np.floor(labels)) & (labels >= 0) & (labels <= highest))]
    if len(wrong):
        wanted = "0 and 1" if task == "binary" else "class numbers 0, 1, 2, ..."
        raise ConfigError(f"Task '{task}' needs target '{names[0]}' to hold {wanted}; it holds {wrong[0]:g}.")
    count = 2 if task == "binary" else max(int(labels[-1]) + 1, 2)
    if task == "binary" and len(classes) > 2:
        raise ConfigError(f"Task 'binary' has two classes, '{names[0]}' has {len(classes)}; use task 'multiclass'.")
    return classes if len(classes) >= count else tuple(str(i) for i in range(count))
