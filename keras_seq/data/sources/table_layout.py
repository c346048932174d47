"""Which column of the user's file plays which part: from a schema file, options and the file's head."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from keras_seq.config import DataConfig, Task, yaml_text
from keras_seq.data.series import Column, Schema
from keras_seq.data.sources.table_reader import (
    Kind,
    column_kinds,
    column_names,
    first_texts,
    is_number_text,
    is_parquet,
)
from keras_seq.errors import ConfigError, DataError, nearest, shorten

if TYPE_CHECKING:
    import pyarrow as pa

CLASS_TASKS = ("binary", "multiclass")


@dataclass(frozen=True)
class Layout:
    """A file and how to read it.

    Attributes:
        path: the file.
        schema: parts of the columns; ``classes`` is empty where only the rows can tell.
        kinds: how each column that is needed is read, in reading order.
        date_format: of a date column in text, as ``strptime`` knows it, or "ISO8601".
        task_given: False where the task was guessed from the head and the rows may correct it.
        per_given: whether the schema file says if targets are per step or per unit.
        span: which part of the file to read (see ``read_batches``); None: all.
        positive: of two classes the one asked for by ``data.positive``.
    """

    path: Path
    schema: Schema
    kinds: dict[str, Kind]
    date_format: str | None
    task_given: bool
    per_given: bool
    span: tuple[int, int] | None = None
    positive: str | None = None


def plan_table(config: DataConfig) -> Layout:
    """Settle the parts of the columns from ``data.schema_file``, ``data.unit`` ... and the file's head.

    Raises:
        ConfigError: options are missing, contradict each other or name columns that are not there.
        DataError: the file is missing, empty or malformed.
    """
    if not config.path:
        raise ConfigError("Source 'table' needs data.path, the CSV or Parquet file to read (--data.path FILE).")
    path = Path(config.path).expanduser()
    names = column_names(path)
    given = _read_schema(Path(config.schema_file), path) if config.schema_file else {}
    roles = {role: getattr(config, role) or given.get(f"{role}_column") for role in ("unit", "group", "time")}
    for role, name in roles.items():
        _known(name, f"the {role} column", names, path)
    types = column_kinds(path)
    targets = config.targets or tuple(given.get("targets", ()))
    for name in targets:
        _known(name, "a target", names, path)
    task = config.task or given.get("task") or _guess_task(targets, types, path, config)
    columns, targets = _columns(config, given, names, roles, targets, task, path)
    _apart(roles, columns, targets, task)
    schema = Schema(
        name=given.get("name", path.stem),
        task=task,
        columns=columns,
        targets=targets,
        target_unit=given.get("target_unit", ""),
        target_per=given.get("target_per", "step"),
        classes=tuple(given.get("classes", ())) if task in CLASS_TASKS else (),
        unit_column=roles["unit"],
        group_column=roles["group"],
        time_column=roles["time"],
        calendar=given.get("calendar"),
    )
    kinds, date_format = _kinds(schema, types, path)
    task_given = bool(config.task or given.get("task"))
    return Layout(path, schema, kinds, date_format, task_given, "target_per" in given, positive=config.positive)


def _read_schema(file: Path, table: Path) -> dict[str, Any]:
    """Fields set in a YAML or JSON schema file, validated; columns may be plain names."""
    try:
        tree = _read_tree(file)
    except FileNotFoundError:
        raise DataError(f"Schema file '{file}' (data.schema_file) does not exist.") from None
    except OSError as error:
        raise DataError(f"Schema file '{file}' cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if file.suffix == ".json" else "YAML"
        raise DataError(f"Schema file '{file}' is not valid {kind}: {str(error).rstrip('.')}.") from None
    if not isinstance(tree, dict):
        kind = type(yaml_text.meaning(tree)).__name__
        raise DataError(f"Schema file '{file}' must hold a mapping with columns and targets, got {kind}.")
    told = {"name", *tree}
    tree = {"name": table.stem, "task": "regression", "targets": (), "columns": (), **tree}
    if isinstance(tree["columns"], list):
        tree["columns"] = [{"name": c} if isinstance(c, str) else c for c in tree["columns"]]
    if isinstance(tree.get("classes"), list):
        tree["classes"] = [str(c) for c in tree["classes"]]
    try:
        schema = Schema.model_validate(tree)
    except ValidationError as error:
        raise DataError(f"Schema file '{file}': {_complaint(error)}") from None
    _refuse_computed(schema, file)
    return {name: getattr(schema, name) for name in schema.model_fields_set & told}


def _refuse_computed(schema: Schema, file: Path) -> None:
    """What would be without effect must not be asked for."""
    known = next((column.name for column in schema.columns if column.known_ahead), None)
    if known is not None:
        raise ConfigError(
            f"Schema file '{file}' marks column '{known}' as known_ahead: true, but columns of a table are read up to "
            "a window's last row, so their later values would not be used. Remove the mark; days that are known ahead "
            "can be given as data.covariates.events."
        )
    if schema.history is not None:
        raise ConfigError(f"Schema file '{file}' sets 'history', which follows from data.covariates; remove it.")


def _read_tree(file: Path) -> Any:
    if file.suffix == ".json":
        return json.loads(file.read_text(encoding="utf-8"))
    return yaml_text.read_file(file)


def _complaint(error: ValidationError) -> str:
    item = error.errors()[0]
    path = ".".join(str(key) for key in item["loc"])
    if item["type"] == "extra_forbidden":
        section = Column if "columns" in item["loc"] else Schema
        return f"unknown key '{path}'{nearest(str(item['loc'][-1]), section.model_fields)}"
    return f"'{path}': {item['msg']}, got {shorten(item['input'])}."


def _known(name: str | None, what: str, names: list[str], path: Path) -> None:
    if name is not None and name not in names:
        raise ConfigError(f"File '{path}' has no column '{name}', named as {what}{nearest(name, names)}")


def _guess_task(targets: tuple[str, ...], types: dict[str, pa.DataType], path: Path, config: DataConfig) -> Task:
    """From the head: text or flags are classes, a horizon means forecast, else regression."""
    if config.windows.horizon:
        return "forecast"
    if not targets:
        raise ConfigError(
            f"Source 'table' needs data.targets, the column(s) of '{path}' to predict, or data.task forecast to "
            f"forecast all of them. Columns: {', '.join(types)}."
        )
    if len(targets) > 1 or _is_number(types[targets[0]]):
        return "regression"
    if _is_text(types[targets[0]]) and not is_parquet(path):
        texts = first_texts(path, targets[0])
        if 2 * sum(map(is_number_text, texts)) > len(texts):
            return "regression"  # numbers and a stray word: the reader will name the word
    return "multiclass"


def _columns(
    config: DataConfig,
    given: dict[str, Any],
    names: list[str],
    roles: dict[str, str | None],
    targets: tuple[str, ...],
    task: Task,
    path: Path,
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Input columns, and targets (all inputs of a forecast that names none)."""
    described = {column.name: column for column in given.get("columns", ())}
    for name in described:
        _known(name, "a column of the schema", names, path)
    for name in config.features:
        _known(name, "a feature", names, path)
    parts = {name for name in roles.values() if name}
    wanted = list(config.features or described or [name for name in names if name not in parts])
    if task != "forecast":
        if not config.features:
            wanted = [name for name in wanted if name not in targets]
    elif not config.features:
        wanted += [name for name in targets if name not in wanted]
    lost = [name for name in targets if name not in wanted]
    if task == "forecast" and lost:
        raise ConfigError(f"data.features leave out '{lost[0]}', the series to be forecast; add it.")
    if not targets and task == "forecast":
        targets = tuple(wanted)
    elif not targets:
        raise ConfigError(f"Source 'table' needs data.targets, the column(s) of '{path}' to predict.")
    if not wanted:
        raise ConfigError(f"File '{path}' has no input column besides {', '.join((*parts, *targets))}.")
    if "" in wanted:
        raise DataError(
            f"Column {names.index('') + 1} of '{path}' has no name (an index written along?); name it, remove it, or "
            "choose the inputs with data.features."
        )
    allowed = config.impute != "none" or config.missing_indicator
    columns = []
    for name in wanted:
        column = described.get(name, Column(name=name))
        if "missing" not in column.model_fields_set:
            column = column.model_copy(update={"missing": allowed})
        columns.append(column)
    return tuple(columns), targets


def _apart(roles: dict[str, str | None], columns: tuple[Column, ...], targets: tuple[str, ...], task: Task) -> None:
    """No column may play two parts that give the answer away or make no sense."""
    features = {column.name for column in columns}
    both = [name for name in targets if name in features]
    if task != "forecast" and both:
        raise ConfigError(f"'{both[0]}' is a target and a feature; a target cannot be its own input.")
    for role in ("unit", "time"):
        if roles[role] and roles[role] in features | set(targets):
            raise ConfigError(
                f"'{roles[role]}' is the {role} column and also a feature or target; copy the column under another "
                "name if it is meant as an input."
            )
    if task in CLASS_TASKS and len(targets) != 1:
        raise ConfigError(f"Task '{task}' takes one target column, got data.targets {list(targets)}.")


def _kinds(schema: Schema, types: dict[str, pa.DataType], path: Path) -> tuple[dict[str, Kind], str | None]:
    import pyarrow as pa

    kinds: dict[str, Kind] = {}
    for name in (*schema.features, *schema.targets):
        text = name in schema.targets and schema.task in CLASS_TASKS and not _is_number(types[name])
        kinds[name] = "flag" if pa.types.is_boolean(types[name]) else "text" if text else "number"
    date_format = None
    if schema.time_column:
        name = schema.time_column
        clock = _is_number(types[name]) or pa.types.is_null(types[name])
        kinds[name] = "clock" if clock else "date"
        if not clock and (not is_parquet(path) or _is_text(types[name])):
            date_format = _guess_format(first_texts(path, name), name, path)
    for role in (schema.unit_column, schema.group_column):
        if role:
            kinds.setdefault(role, "text")
    return kinds, date_format


def _guess_format(texts: list[str], name: str, path: Path) -> str:
    """The one date format of a column; day first only where month first does not fit."""
    import pandas as pd
    from pandas.tseries.api import guess_datetime_format

    bad = texts[0] if texts else ""
    for day_first in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # day first is tried in its turn
            found = guess_datetime_format(texts[0], dayfirst=day_first) if texts else None
        if found and found.startswith("%Y-%m-%d"):
            found = "ISO8601"
        if not found:
            continue
        fits = pd.to_datetime(pd.Series(texts), format=found, errors="coerce", utc=True).notna().to_numpy()
        if fits.all():
            return found
        bad = texts[int(fits.argmin())]
    raise DataError(
        f"Column '{name}' of '{path}' must hold a time: a number, or dates in one format such as 2024-05-31 "
        f"14:00:00; got {bad!r}."
    )


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of text."""
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
