"""Which column of the user's file plays which part: from a schema file, options and the file's head."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from keras_seq.config import DataConfig, TaskName, yaml_text
from keras_seq.data.databases.extract import table_path
from keras_seq.data.formats.members import table_stem
from keras_seq.data.formats.roles import Roles
from keras_seq.data.plans.marks import marked
from keras_seq.data.reading import Kind, Reading
from keras_seq.data.reading.batches import column_roles
from keras_seq.data.reading.companion import StaticTable
from keras_seq.data.reading.dates import ISO, DateRule
from keras_seq.data.reading.joined_time import joined_name
from keras_seq.data.reading.reading import UNNAMED
from keras_seq.data.reading.settle import (
    ColumnKind,
    TableFacts,
    holds_dates,
    settle_table,
    settle_time,
    with_joined_time,
)
from keras_seq.data.reading.totals import total_remark
from keras_seq.data.series import Column, Schema
from keras_seq.data.static import plan_static
from keras_seq.data.words import check_vocabulary, settle_vocabularies
from keras_seq.errors import ConfigError, DataError, nearest, shorten
from keras_seq.tasks import classifies


@dataclass(frozen=True)
class Layout:
    """A file and how to read it.

    Attributes:
        path: the file.
        schema: parts of the columns; ``classes`` is empty where only the rows can tell.
        kinds: how each column that is needed is read, in reading order.
        task_given: False where the task was guessed from the head and the rows may correct it.
        per_given: whether the schema file says if targets are per step or per unit.
        span: which part of the file to read (see ``read_batches``); None: all.
        positive: of two classes the one asked for by ``data.positive``.
        choices: what two readings of the file fit, and which was taken.
        part: column that says which part a unit belongs to.
        censored: column that says which units had not failed at their last row.
    """

    path: Path
    schema: Schema
    kinds: dict[str, Kind]
    task_given: bool
    per_given: bool
    span: tuple[int, int] | None = None
    positive: str | None = None
    choices: tuple[str, ...] = ()
    part: str | None = None
    censored: str | None = None

    @property
    def reading(self) -> Reading:
        """How the file is read."""
        return self.schema.reading or Reading()

    @property
    def dates(self) -> DateRule:
        """How the dates of the time column are read."""
        return DateRule(self.reading.date_format or ISO, self.reading.zone, self.reading.offsets)


def plan_table(config: DataConfig) -> Layout:
    """Settle the parts of the columns from ``data.schema_file``, ``data.unit`` ... and the file's head.

    Raises:
        ConfigError: options are missing, contradict each other or name columns that are not there.
        DataError: the file is missing, empty or malformed.
    """
    path = table_path(config)
    if path is None:
        raise ConfigError("Source 'table' needs data.path, the CSV or Parquet file to read (--data.path FILE).")
    facts = settle_table(path, config)
    names = facts.names
    told = column_roles(path, facts.reading)
    own = _described(told, config)
    described = own | (_read_schema(Path(config.schema_file), path) if config.schema_file else {})
    roles = {role: getattr(config, role) or described.get(f"{role}_column") for role in ("unit", "group", "time")}
    facts, parts_of_time = _joined(facts, config.time)
    if parts_of_time:
        roles["time"] = joined_name(facts.reading)
    for role, name in roles.items():
        _known(name, f"the {role} column", facts.names, path)
    targets = config.targets or tuple(described.get("targets", ()))
    for name in targets:
        _known(name, "a target", names, path)
    task = config.task or described.get("task") or _guess_task(targets, facts, config)
    asked = {*targets, *config.features, *(column.name for column in described.get("columns", ()))}
    free = {name: kind for name, kind in facts.kinds.items() if name not in told.aside or name in asked}
    apart = roles | {f"time ({name})": name for name in parts_of_time}
    static, static_kinds = plan_static(config, roles["unit"], names)
    columns, targets = _columns(config, described, free | static_kinds, apart, targets, task, path)
    _apart(roles, columns, targets, task)
    schema = Schema(
        name=described.get("name", table_stem(path)),
        task=task,
        columns=columns,
        targets=targets,
        target_unit=described.get("target_unit", ""),
        target_per=described.get("target_per", "step"),
        classes=tuple(described.get("classes", ())) if classifies(task) else (),
        unit_column=roles["unit"],
        group_column=roles["group"],
        time_column=roles["time"],
        calendar=described.get("calendar"),
        static=_static_inputs(static, static_kinds, columns),
    )
    schema = _with_words(schema, {**facts.kinds, **static_kinds}, facts, config)
    schema = marked(schema, config)
    kinds = _kinds(schema, facts, config)
    dated = schema.time_column is not None and kinds[schema.time_column] == "date"
    dates = settle_time(str(schema.time_column), facts, config) if dated else None
    choices = facts.choices + (dates.remarks if dates else ())
    if total := total_remark(path, facts.reading, names):
        choices += (total,)
    undecided = facts.choices + (dates.remarks if dates and dates.undecided else ())
    if undecided and config.strict:
        raise DataError(f"File '{path}' can be read in two ways (data.strict): {undecided[0]}.")
    reading = facts.reading.model_copy(update=dates.fields) if dates else facts.reading
    schema = schema.model_copy(update={"reading": reading})
    for name, what in ((config.part, "the part column"), (config.censored, "the column of censored units")):
        _known(name, what, names, path)
        if name:
            kinds.setdefault(name, "text")
    return Layout(
        path,
        schema,
        kinds,
        task_given=bool(config.task or described.get("task")),
        per_given="target_per" in described,
        choices=choices,
        positive=config.positive,
        part=config.part,
        censored=config.censored,
    )


def _described(roles: Roles, config: DataConfig) -> dict[str, Any]:
    """What the file itself says of its columns, as fields of a schema; no targets where others are asked for."""
    if bool(config.windows.horizon) == (roles.target_per == "unit" or roles.task not in (None, "forecast")):
        roles = roles.model_copy(update={"targets": (), "task": None})
    parts = {"unit_column": roles.unit, "time_column": roles.time}
    targets: dict[str, Any] = {}
    if roles.targets and config.targets in ((), roles.targets) and config.task in (None, roles.task or config.task):
        targets = {"targets": roles.targets, "target_per": roles.target_per, "task": roles.task}
        targets |= {"classes": roles.classes} if len(roles.classes) > 2 else {}
    elif config.targets and set(config.targets) <= set(roles.labels):
        targets = {"target_per": "unit"}
    return {name: value for name, value in (parts | targets).items() if value is not None}


def _joined(facts: TableFacts, time: str | tuple[str, ...] | None) -> tuple[TableFacts, tuple[str, ...]]:
    """The facts with the joined time where several columns are named, and those columns."""
    if time is None or isinstance(time, str):
        return facts, ()
    for name in time:
        _known(name, "a part of the time", facts.names, facts.path)
    return with_joined_time(facts, time), time


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
    named = {"name", *tree}
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
    return {name: getattr(schema, name) for name in schema.model_fields_set & named}


def _refuse_computed(schema: Schema, file: Path) -> None:
    """What would be without effect must not be asked for."""
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


def _guess_task(targets: tuple[str, ...], facts: TableFacts, config: DataConfig) -> TaskName:
    """From the head: words or flags are classes, a horizon means forecast, else regression."""
    if config.windows.horizon:
        return "forecast"
    if not targets:
        raise ConfigError(
            f"Source 'table' needs data.targets, the column(s) of '{facts.path}' to predict, or data.task forecast to "
            f"forecast all of them. Columns: {', '.join(facts.names)}."
        )
    words = len(targets) == 1 and facts.kinds[targets[0]] in ("text", "flag")
    return "multiclass" if words else "regression"


def _columns(
    config: DataConfig,
    given: dict[str, Any],
    kinds: dict[str, ColumnKind],
    roles: dict[str, str | None],
    targets: tuple[str, ...],
    task: TaskName,
    path: Path,
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Input columns, and targets (all inputs of a forecast that names none)."""
    names = list(kinds)
    described = {column.name: column for column in given.get("columns", ())}
    for name in described:
        _known(name, "a column of the schema", names, path)
    for name in config.features:
        _known(name, "a feature", names, path)
    parts = {name for name in (*roles.values(), config.part, config.censored) if name}
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
        words = {*config.categories, *(name for name, column in described.items() if column.kind == "category")}
        targets = tuple(name for name in wanted if name not in words and kinds[name] != "text")
    elif not targets:
        raise ConfigError(f"Source 'table' needs data.targets, the column(s) of '{path}' to predict.")
    if not wanted:
        raise ConfigError(f"File '{path}' has no input column besides {', '.join((*parts, *targets))}.")
    unnamed = [name for name in wanted if name.startswith(UNNAMED) and name not in config.features]
    if unnamed and not described:
        raise DataError(
            f"Column {unnamed[0].removeprefix(UNNAMED)} of '{path}' has no name (an index written along?); name it, "
            f"remove it, say what it is (data.time '{unnamed[0]}'), or choose the inputs with data.features."
        )
    allowed = config.impute != "none" or config.missing_indicator
    columns = []
    for name in wanted:
        column = described.get(name, Column(name=name))
        if "missing" not in column.model_fields_set:
            column = column.model_copy(update={"missing": allowed})
        columns.append(column)
    return tuple(columns), targets


def _static_inputs(
    static: StaticTable | None, kinds: dict[str, ColumnKind], columns: tuple[Column, ...]
) -> StaticTable | None:
    """The companion table with those of its columns that are inputs; None where none is."""
    taken = tuple(column.name for column in columns if column.name in kinds)
    return static.model_copy(update={"columns": taken}) if static is not None and taken else None


def _with_words(schema: Schema, kinds: dict[str, ColumnKind], facts: TableFacts, config: DataConfig) -> Schema:
    """The schema with its columns of words marked, and their vocabularies."""
    for name in config.categories:
        _known(name, "a category (data.categories)", list(kinds), facts.path)
    asked = {*config.categories, *schema.vocabularies}
    columns = tuple(
        column.model_copy(update={"kind": "category"})
        if column.name in asked or (kinds[column.name] == "text" and column.kind == "feature")
        else column
        for column in schema.columns
    )
    given = {column.name: column.vocabulary for column in columns if column.kind == "category"}
    clash = next((name for name in schema.targets if name in given), None)
    if clash is not None:
        raise ConfigError(f"'{clash}' holds words, and a forecast is of numbers; choose other data.targets.")
    if not given:
        return schema
    for name, words in given.items():
        check_vocabulary(name, words)
    joined = schema.static.columns if schema.static else ()
    own = {name: words for name, words in given.items() if name not in joined}
    vocabularies = settle_vocabularies(facts.path, own, asked, facts.reading)
    if schema.static:
        others = {name: words for name, words in given.items() if name in joined}
        vocabularies |= settle_vocabularies(Path(schema.static.path), others, asked, schema.static.reading)
    columns = tuple(
        column.model_copy(update={"vocabulary": vocabularies[column.name]}) if column.name in given else column
        for column in columns
    )
    return schema.model_copy(update={"columns": columns})


def _apart(roles: dict[str, str | None], columns: tuple[Column, ...], targets: tuple[str, ...], task: TaskName) -> None:
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
    if classifies(task) and len(targets) != 1:
        raise ConfigError(f"Task '{task}' takes one target column, got data.targets {list(targets)}.")


def _kinds(schema: Schema, facts: TableFacts, config: DataConfig) -> dict[str, Kind]:
    """What each column that is needed is read as; labels keep the file's own text."""
    kinds: dict[str, Kind] = {}
    joined = schema.static.columns if schema.static else ()
    for name in (name for name in (*schema.features, *schema.targets) if name not in joined):
        text = (name in schema.targets and schema.classifies) or name in schema.vocabularies
        kinds[name] = "text" if text else "flag" if facts.kinds[name] == "flag" else "number"
    if schema.time_column:
        kinds[schema.time_column] = "date" if holds_dates(schema.time_column, facts, config) else "clock"
    for role in (schema.unit_column, schema.group_column):
        if role:
            kinds.setdefault(role, "text")
    return kinds
