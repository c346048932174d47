"""The input of a writing run, cut into jobs: parts of files that workers read each by itself."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from keras_seq.config import DataConfig
from keras_seq.config.database import FIELDS
from keras_seq.data.formats.converted import content_digest, parquet_of
from keras_seq.data.formats.members import labels_path
from keras_seq.data.formats.registry import PARQUET_SUFFIXES
from keras_seq.data.reading import Reading
from keras_seq.data.reading.batches import column_names, is_typed
from keras_seq.data.reading.labels import number_text
from keras_seq.data.reading.settle import settle_table
from keras_seq.data.reading.stream import is_plain, line_starts
from keras_seq.data.remote import local_path
from keras_seq.data.series import Schema
from keras_seq.data.sources.table import iter_table_chunks
from keras_seq.data.sources.table_layout import Layout, plan_table
from keras_seq.data.sources.table_targets import settle_classes
from keras_seq.data.words import merge_vocabularies
from keras_seq.errors import ConfigError, DataError
from keras_seq.tasks import classifies

WORDS = {"number": "numbers", "flag": "true and false", "text": "text", "date": "dates", "empty": "nothing"}
ENDINGS = (".csv", ".csv.gz", *PARQUET_SUFFIXES)
LABEL_ROWS = 50_000  # looked at at a time
HEAD_BYTES = 2**20  # of a CSV, to tell how long its lines are


NOT_SHAPING = {  # fields of the data section that leave the rows as they are
    *("source", "subset", "home", "path", *FIELDS, "schema_file", "caster", "covariates", "split", "windows"),
    *("target_cap", "scale", "conditions", "augment", "balance", "shuffle", "bucket", "cache", "prefetch", "shards"),
    "known_ahead",
}


@dataclass(frozen=True)
class ShardJob:
    """A part of the input that becomes one shard.

    Attributes:
        number: position in the order of the input; names the shard.
        path: input file; "" for a source of the project, which every worker loads by itself.
        span: bytes of a CSV, row groups of a Parquet file, or rows of the source; None: the whole file.
    """

    number: int
    path: str
    span: tuple[int, int] | None


@dataclass(frozen=True)
class Recipe:
    """Settings that all jobs of a run share; small, as they are pickled to every worker.

    Attributes:
        config: the data section.
        layout: how files are read; None for a source of the project.
        codes: class number of each label text, or of each label number; empty where there are no classes.
        schema: of the rows as they are stored; ``merge`` settles whether targets are per unit.
        time_kind: numpy dtype of the time; "" where steps are counted, which needs no storing.
        folder: where shards are written.
    """

    config: DataConfig
    layout: Layout | None
    codes: dict[Any, int]
    schema: Schema
    time_kind: str
    folder: str


def shaping(config: DataConfig) -> dict[str, Any]:
    """Options that shape the rows: with others they are written anew."""
    windows = {"windows.per_step": config.windows.per_step, "windows.horizon": bool(config.windows.horizon)}
    return config.model_dump(mode="json", exclude=NOT_SHAPING) | windows


def source_content(config: DataConfig, files: list[Path]) -> list[str]:
    """Digests of the files and of what is read beside them: schema file, companion table, labels.

    Raises:
        DataError: one of them cannot be read.
    """
    beside = (config.schema_file, config.static.path, labels_path(files[0], config.labels))
    try:
        return [content_digest(Path(one).expanduser()) if one else "" for one in (*files, *beside)]
    except OSError as error:
        raise DataError(f"File '{error.filename}' cannot be read ({error.strerror}).") from None


def table_recipe(config: DataConfig, layout: Layout, files: list[Path], folder: Path) -> Recipe:
    """Recipe of table files, once their classes are numbered.

    Raises:
        ConfigError, DataError: the labels are no classes, or not those that the schema or ``data.positive`` name.
    """
    layout, codes = _settle(layout, files, config)
    clock = layout.schema.time_column
    time_kind = "" if clock is None else "M8[ns]" if layout.kinds[clock] == "date" else "f8"
    return Recipe(config, layout, codes, layout.schema, time_kind, str(folder))


def input_files(config: DataConfig) -> list[Path]:
    """The files that ``data.path`` names: one, or all CSV and Parquet files of a folder, by name.

    Raises:
        ConfigError: no path, or other files beside it.
        DataError: there are none.
    """
    if not config.path:
        raise ConfigError("Sharding source 'table' needs data.path, a CSV or Parquet file or a folder of them.")
    if config.test_path:
        raise ConfigError(
            "data.test_path and data.validation_path are read in memory; shards are written of data.path alone. Leave "
            "them out, or train on source 'table'."
        )
    path = local_path(config.path)
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.iterdir() if p.name.lower().endswith(ENDINGS) and not p.name.startswith("."))
    if not files:
        raise DataError(f"The folder '{path}' (data.path) holds no file that ends with {', '.join(ENDINGS)}.")
    return files


def row_bytes(schema: Schema) -> int:
    """Bytes of one stored row."""
    return 4 * (len(schema.columns) + len(schema.targets)) + 8


def plan_files(config: DataConfig, files: list[Path]) -> Layout:
    """How all the files are read.

    Raises:
        ConfigError: as ``plan_table``.
        DataError: a file lacks a column of the first one, or holds another kind of values in it.
    """
    layout = plan_table(config.model_copy(update={"path": str(files[0])}))
    _same_columns(layout, files, config)
    return _all_words(layout, files)


def file_jobs(layout: Layout, files: list[Path], shard_bytes: int) -> list[ShardJob]:
    """Jobs of files, each about ``shard_bytes`` on disk."""
    row = row_bytes(layout.schema)
    spans = [(str(file), span) for file in files for span in _spans(file, shard_bytes, row, layout.reading)]
    return [ShardJob(number, *span) for number, span in enumerate(spans)]


def _same_columns(layout: Layout, files: list[Path], config: DataConfig) -> None:
    """Every file has the columns that are read, of the same kind as the first file's."""
    first = settle_table(files[0], config).kinds
    for file in files[1:]:
        names = column_names(file, layout.reading)
        for name in layout.kinds:
            if name not in names:
                raise DataError(
                    f"File '{file}' has no column '{name}', which '{files[0].name}' has; it has {', '.join(names)}. "
                    "All files of a folder need the same columns: mend the file, or move it elsewhere."
                )
        kinds = settle_table(file, config).kinds
        for name in layout.kinds:
            if len({first[name], kinds[name]} - {"empty"}) > 1:
                raise DataError(
                    f"Column '{name}' of '{file}' holds {WORDS[kinds[name]]}, but that of '{files[0].name}' holds "
                    f"{WORDS[first[name]]}. All files of a folder need the same columns: mend the file, or move it "
                    "elsewhere."
                )


def _all_words(layout: Layout, files: list[Path]) -> Layout:
    """The vocabularies of all files; one that the schema file gives stays as it is."""
    schema = layout.schema
    joined = schema.static.columns if schema.static else ()
    first = {name: words for name, words in schema.vocabularies.items() if name not in joined}
    if not first or len(files) == 1:
        return layout
    read = merge_vocabularies(files[:1], list(first), layout.reading)
    told = [name for name, words in first.items() if words == read[name]]
    vocabularies = merge_vocabularies(files, told, layout.reading) if told else {}
    columns = tuple(
        column.model_copy(update={"vocabulary": vocabularies[column.name]}) if column.name in vocabularies else column
        for column in schema.columns
    )
    return dataclasses.replace(layout, schema=schema.model_copy(update={"columns": columns}))


def _settle(layout: Layout, files: list[Path], config: DataConfig) -> tuple[Layout, dict[Any, int]]:
    """Number the classes before rows are written; without ``classes:`` in the schema the label column is read first."""
    schema, first = layout.schema, layout.schema.targets[0]
    by_text = layout.kinds[first] == "text"
    counts: dict[Any, int] = {}
    if schema.classes and by_text:
        counts = dict.fromkeys(schema.classes, 1)
    elif schema.classifies or (not layout.task_given and len(schema.targets) == 1):
        counts = _count_labels(layout, files, config)
    known = sorted(counts)
    texts = known if by_text else [number_text(value) for value in known]
    task, classes = settle_classes(layout, texts, [counts[value] for value in known], text_labels=by_text)
    if not classifies(task):
        return layout, {}
    unknown = [text for text in texts if text not in classes]
    if unknown:
        raise DataError(
            f"Target '{first}' of '{layout.path}' holds '{unknown[0]}', which is not among the schema's classes "
            f"{', '.join(classes)}."
        )
    codes = {value: classes.index(text) for value, text in zip(known, texts, strict=True)}
    return dataclasses.replace(layout, schema=schema.model_copy(update={"task": task, "classes": classes})), codes


def _count_labels(layout: Layout, files: list[Path], config: DataConfig) -> dict[Any, int]:
    """How often each label occurs: units where every unit has one label, else rows.

    Numbers that nobody called classes are read no further than to the first that is neither 0 nor 1: they have none.
    """
    import pandas as pd

    label, unit = layout.schema.targets[0], layout.schema.unit_column
    kinds = {name: layout.kinds[name] for name in (label, unit) if name}
    schema = layout.schema.model_copy(update={"static": None})
    rows: Counter[Any] = Counter()
    pairs: set[tuple[Any, str]] = set()
    for file in files:
        for frame in iter_table_chunks(
            config, LABEL_ROWS, layout=dataclasses.replace(layout, path=file, schema=schema, kinds=kinds)
        ):
            found = pd.DataFrame({"label": frame[label], "unit": frame[unit] if unit else ""})
            rows.update(found["label"].value_counts().to_dict())
            if not schema.classifies and not set(rows) <= {0, 1}:
                return {}
            if len(rows) > 1000:
                raise DataError(
                    f"Target '{label}' of '{file}' has more than 1000 distinct values, which are no classes. Use "
                    "--data.task regression, or another target."
                )
            pairs |= set(found.dropna().drop_duplicates().itertuples(index=False, name=None))
    units = len({name for _, name in pairs})
    return Counter(value for value, _ in pairs) if 1 < units == len(pairs) else rows


def _spans(file: Path, shard_bytes: int, row: int, reading: Reading) -> Iterator[tuple[int, int] | None]:
    if is_typed(file, reading):
        yield from _row_groups(parquet_of(file, reading), max(1, shard_bytes // row))
    elif not is_plain(file, reading):
        yield None  # cannot be entered in the middle
    else:
        with open(file, "rb") as head:
            text = head.read(HEAD_BYTES)
        line = len(text) / max(text.count(b"\n"), 1)
        starts = line_starts(file, max(1, int(shard_bytes * line / row)), reading)
        yield from pairwise(starts)


def _row_groups(file: Path, rows: int) -> Iterator[tuple[int, int]]:
    """Neighbouring row groups of together about ``rows`` rows."""
    from pyarrow import parquet

    metadata = parquet.read_metadata(file)
    low = have = 0
    for number in range(metadata.num_row_groups):
        more = metadata.row_group(number).num_rows
        if have and have + more > rows:
            yield low, number
            low, have = number, 0
        have += more
    if have:
        yield low, metadata.num_row_groups
