"""Store of a CSV or Parquet file, found or written chunk by chunk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.home import stores_home
from keras_seq.data.known import first_known
from keras_seq.data.quality import Finding, QualityReport, check_rows, check_sample
from keras_seq.data.reading.labels import number_text
from keras_seq.data.regular import refuse_rules
from keras_seq.data.series import Series
from keras_seq.data.sources.table import (
    iter_table_chunks,
    lossy_columns,
    number_taker,
)
from keras_seq.data.sources.table_layout import Layout, plan_table
from keras_seq.data.sources.table_targets import settle_classes, settle_target_per
from keras_seq.data.store import FORMAT, HEADER, StoredArray, StoredSeries, open_store, store_key
from keras_seq.errors import DataError
from keras_seq.files import ensure_writable, new_folder, read_json
from keras_seq.tasks import classifies

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 50_000  # rows


def stored_series(config: DataConfig, home: Path | None = None) -> tuple[StoredSeries, dict[str, Any]]:
    """The store of ``config.path``, made if it is not there; with what the quality check found.

    Args:
        config: source 'table' with ``cache`` off.
        home: folder of the stores; default ``stores_home()``.

    Returns:
        The series, and ``QualityReport`` as plain values.

    Raises:
        DataError: as the table source and the quality check; also rows that are not sorted by unit and time.
        OutputError: the store cannot be written.
    """
    folder = (home or stores_home()) / store_key(config)
    if not (folder / HEADER).is_file():
        write_store(config, folder)
    return open_store(folder), read_json(folder / HEADER)["quality"]


def write_store(config: DataConfig, folder: Path) -> None:
    """Write ``config.path`` as a store to ``folder``, in memory that does not grow with the file.

    Raises:
        DataError: rows are not sorted by unit and time, or fail the quality check.
        OutputError: the disk is full or cannot be written.
    """
    refuse_rules(config, "data.cache=false keeps them on disk")
    layout = plan_table(config)
    size_mb = layout.path.stat().st_size >> 20
    ensure_writable(folder.parent, need_mb=size_mb + 100)
    with new_folder(folder) as partial:
        writer, taker = _Writer(layout, partial), number_taker(layout)
        for frame in iter_table_chunks(config, CHUNK, layout, taker):
            writer.add(frame)
        header = writer.finish(config)
        if lossy := lossy_columns(taker):
            header["info"]["precision"] = lossy
        (partial / HEADER).write_text(json.dumps(header), encoding="utf-8")
        findings = check_sample(open_store(partial))
        header["quality"]["findings"] += [dataclasses.asdict(finding) for finding in findings]
        (partial / HEADER).write_text(json.dumps(header), encoding="utf-8")
        report_of(header["quality"]).raise_if_bad()


class Chunk(NamedTuple):
    """Rows that follow one another in a file.

    Attributes:
        values: ``(rows, features)``.
        targets: ``(rows, targets)``.
        time: ``(rows,)``.
        unit: text ``(rows,)``.
        starts: first row of each unit in the chunk.
        goes_on: the first of them began in an earlier chunk.
    """

    values: NDArray[np.float32]
    targets: NDArray[np.float32]
    time: NDArray[Any]
    unit: NDArray[np.str_]
    starts: NDArray[np.int64]
    goes_on: bool


class RowTaker:
    """Streaming checks: chunks in file order, rows that cannot be streamed refused, facts of the whole file gathered.

    What becomes of the rows is up to ``keep``.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout, self.schema = layout, layout.schema
        dated = self.schema.time_column is not None and layout.kinds[self.schema.time_column] == "date"
        self.time_kind = "M8[ns]" if dated else "f8"
        self.units: dict[str, int] = {}
        self.groups: list[str] = []
        self.ends: list[int] = []
        self.labels: dict[str, int] = {}  # texts of classes in order of appearance
        self.numbers: set[float] = set()  # numeric classes
        self.rows = 0
        self.last_time: Any = None
        self.constant = True  # every unit has one target so far
        self.unit_targets: list[NDArray[np.float32]] = []  # first known ones of each unit
        self.targets_known = True  # none is missing so far
        self.findings: list[Finding] = []

    def add(self, frame: pd.DataFrame) -> None:
        """Take in a chunk, a pandas frame of the layout's columns."""
        schema = self.schema
        values = np.ascontiguousarray(frame[list(schema.features)].to_numpy(np.float32))
        targets = self._targets(frame)
        unit = self._names(frame, schema.unit_column)
        groups = self._names(frame, schema.group_column) if schema.group_column else None
        time = frame[schema.time_column].to_numpy(self.time_kind) if schema.time_column else None
        self.add_rows(values, targets, unit, groups, time)

    def _names(self, frame: pd.DataFrame, column: str | None) -> NDArray[np.str_]:
        if column is None:
            return np.full(len(frame), self.layout.path.stem)
        missing = frame[column].isna().to_numpy()
        if missing.any():
            raise DataError(
                f"Column '{column}' of '{self.layout.path}' is empty in data row "
                f"{self.rows + int(missing.argmax()) + 1}; every row needs its unit (and group). Fill it."
            )
        return frame[column].to_numpy(str)

    def add_rows(
        self,
        values: NDArray[np.float32],
        targets: NDArray[np.float32],
        unit: NDArray[np.str_],
        groups: NDArray[np.str_] | None,
        time: NDArray[Any] | None,
    ) -> None:
        """Take in a chunk as arrays, one entry a row; without ``time`` steps are counted."""
        count = len(values)
        starts = np.concatenate([[0], np.flatnonzero(unit[1:] != unit[:-1]) + 1])
        ends = np.append(starts[1:], count)
        goes_on = bool(self.units) and unit[0] == next(reversed(self.units))
        if time is None:
            begun = self.rows - (self.ends[-2] if len(self.ends) > 1 else 0) if goes_on else 0
            time = (
                np.arange(count) - np.repeat(starts, ends - starts) + np.where(np.arange(count) < ends[0], begun, 0.0)
            )
        chunk = Chunk(values, targets, time, unit, starts, goes_on)
        self._check_time(chunk)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            self._extend(str(unit[start]), int(end), first=number == 0 and goes_on, groups=groups, span=(start, end))
        self._watch_targets(chunk)
        self._check_chunk(chunk)
        self.keep(chunk)
        self.rows += count
        self.last_time = time[-1]

    def keep(self, chunk: Chunk) -> None:
        """Store a chunk; for subclasses."""
        raise NotImplementedError

    def _targets(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """``(rows, targets)``; text labels numbered in order of appearance, set right in ``finish``."""
        import pandas as pd

        schema, first = self.schema, self.schema.targets[0]
        if self.layout.kinds[first] != "text":
            targets = np.ascontiguousarray(frame[list(schema.targets)].to_numpy(np.float32))
            if self.layout.schema.classifies or not self.layout.task_given:
                labels = np.unique(targets[:, 0][np.isfinite(targets[:, 0])])
                if len(self.numbers) <= 1000:  # more are no classes
                    self.numbers.update(labels.tolist())
            return targets
        numbers, texts = pd.factorize(frame[first])  # -1 where missing
        codes = [self.labels.setdefault(str(text), len(self.labels)) for text in texts]
        return np.array([*codes, np.nan], np.float32)[numbers][:, None]

    def _extend(
        self, unit: str, end: int, *, first: bool, groups: NDArray[np.str_] | None, span: tuple[int, int]
    ) -> None:
        if first:
            self.ends[-1] = self.rows + end
        elif unit in self.units:
            raise DataError(
                f"The rows of unit '{unit}' in '{self.layout.path}' are not together (again in data row "
                f"{self.rows + int(span[0]) + 1}): the file is streamed and must be sorted by unit, then time. "
                "Sort it; a file that fits into memory can be read unsorted with data.cache=true."
            )
        else:
            self.units[unit] = len(self.units)
            self.ends.append(self.rows + end)
            self.groups.append(str(groups[span[0]]) if groups is not None else unit)
        if groups is not None and (groups[span[0] : span[1]] != self.groups[-1]).any():
            raise DataError(f"Unit '{unit}' of '{self.layout.path}' belongs to several groups; a unit has one group.")

    def _check_time(self, chunk: Chunk) -> None:
        """Time must rise within a unit, also from one chunk to the next."""
        time = chunk.time
        falls = ~(time[1:] > time[:-1])
        falls[chunk.starts[1:] - 1] = False
        at = int(np.argmax(falls)) + 1 if falls.any() else 0 if chunk.goes_on and not time[0] > self.last_time else None
        if at is not None:
            before = time[at - 1] if at else self.last_time
            raise DataError(
                f"Time does not rise in unit '{chunk.unit[at]}' of '{self.layout.path}': {time[at]} follows {before} "
                f"(data row {self.rows + at + 1}). The file is streamed and must be sorted by unit, then time, "
                "without duplicates. Sort it ('python -m keras_seq.data check' gives the full report)."
            )

    def _watch_targets(self, chunk: Chunk) -> None:
        """Remember the first known targets of every unit, and whether its other ones are equal or missing."""
        targets, offsets = chunk.targets, np.append(chunk.starts, len(chunk.targets))
        first = first_known(targets, offsets)
        if chunk.goes_on:
            before = self.unit_targets.pop()
            first[0] = np.where(np.isfinite(before), before, first[0])
        self.unit_targets += list(first)
        missing = np.isnan(targets)
        self.constant &= bool(((targets == np.repeat(first, np.diff(offsets), axis=0)) | missing).all())
        self.targets_known &= not missing.any()

    def _check_chunk(self, chunk: Chunk) -> None:
        """Quality check of a chunk, by the rules for rows of a series in memory."""
        task = "forecast" if self.schema.task == "forecast" else "regression"  # labels are no class numbers yet
        schema = self.schema.model_copy(update={"target_per": "step", "task": task, "classes": ()})
        ids = chunk.unit[chunk.starts]
        series = Series(
            schema=schema,
            values=chunk.values,
            targets=chunk.targets,
            offsets=np.append(chunk.starts, len(chunk.unit)).astype(np.int64),
            unit_ids=ids,
            groups=ids,
            time=chunk.time,
            official=np.array([""] * len(ids)),
        )
        self.findings += [finding for finding in check_rows(series) if finding.severity == "error"]
        QualityReport(
            self.schema.name, tuple(self.findings[:20]), self.rows + len(chunk.unit), len(self.units)
        ).raise_if_bad()


class _Writer(RowTaker):
    """Appends chunks to the raw files."""

    def __init__(self, layout: Layout, folder: Path) -> None:
        super().__init__(layout)
        self.folder, self.digest = folder, hashlib.sha256()
        self.files = {
            "values": open(folder / "values.f32", "wb"),  # noqa: SIM115 (closed in finish)
            "targets": open(folder / "targets.f32", "wb"),  # noqa: SIM115
            "time": open(folder / f"time.{self.time_kind}", "wb"),  # noqa: SIM115
        }

    def keep(self, chunk: Chunk) -> None:
        """Append a chunk."""
        for name, file in self.files.items():
            content = np.ascontiguousarray(getattr(chunk, name)).tobytes()
            file.write(content)
            self.digest.update(content)

    def finish(self, config: DataConfig) -> dict[str, Any]:
        """Close the files, set class numbers right, and return the header."""
        for file in self.files.values():
            file.close()
        if not self.rows:
            raise DataError(f"File '{self.layout.path}' has no data rows.")
        offsets = np.array([0, *self.ends], np.int64)
        offsets.astype("<i8").tofile(self.folder / "offsets.i64")
        schema = settle_target_per(
            self.layout,
            self._number_classes(),
            str(self.layout.path),
            units=len(self.units),
            constant=self.constant,
            dense=config.windows.per_step,
        )
        if schema.target_per == "unit":
            np.array(self.unit_targets, "<f4").tofile(self.folder / "targets.f32")
        findings = [dataclasses.asdict(Finding("warning", "reading", choice)) for choice in self.layout.choices]
        return {
            "format": FORMAT,
            "schema": schema.model_dump(mode="json"),
            "rows": self.rows,
            "time": self.time_kind,
            "units": list(self.units),
            "groups": self.groups if self.schema.group_column else [],
            "info": {"origin": self.layout.path.name, "streamed": True},
            "digest": self.digest.hexdigest(),
            "targets_known": self.targets_known,
            "quality": {"name": schema.name, "rows": self.rows, "units": len(self.units), "findings": findings},
        }

    def _number_classes(self) -> Any:
        """The schema with task and classes as the rows tell them; targets rewritten as class numbers."""
        by_text = bool(self.labels)
        texts = list(self.labels) if by_text else [number_text(value) for value in sorted(self.numbers)]
        if not texts or len(texts) > 1000:
            return self.schema
        known = np.arange(len(texts), dtype=np.float32) if by_text else np.array(sorted(self.numbers), np.float32)
        task, classes = settle_classes(self.layout, texts, self._counts(known), text_labels=by_text)
        if not classifies(task):
            return self.schema
        wanted = {text: number for number, text in enumerate(classes)}
        unknown = [text for text in texts if text not in wanted]
        if unknown:
            raise DataError(
                f"Target '{self.schema.targets[0]}' of '{self.layout.path}' holds '{unknown[0]}', which is not among "
                f"the schema's classes {', '.join(classes)}."
            )
        numbers = np.array([wanted[text] for text in texts], np.float32)
        if not np.array_equal(known, numbers):
            self._rewrite(known, numbers)
        return self.schema.model_copy(update={"task": task, "classes": classes})

    def _counts(self, known: NDArray[np.float32]) -> list[int]:
        """How often each label occurs: units where every unit has one label, else rows."""
        stored = StoredArray(self.folder / "targets.f32", "<f4", 1)
        if self.constant and len(self.units) > 1:
            pieces: Any = [np.array(self.unit_targets)]
        else:
            pieces = stored.pieces()
        counts = np.zeros(len(known), np.int64)
        for piece in pieces:
            labels = np.ravel(piece)
            labels = labels[np.isin(labels, known)]
            counts += np.bincount(np.searchsorted(known, labels), minlength=len(known))
        return counts.tolist()

    def _rewrite(self, known: NDArray[np.float32], numbers: NDArray[np.float32]) -> None:
        """Write ``numbers`` in place of the labels ``known``; a missing one stays missing."""

        def number(labels: NDArray[np.float32]) -> NDArray[np.float32]:
            place = np.minimum(np.searchsorted(known, labels), len(known) - 1)
            return np.where(np.isfinite(labels), numbers[place], np.float32(np.nan)).astype("<f4")

        old = self.folder / "targets.f32"
        new = self.folder / "targets.new"
        with open(new, "wb") as file:
            for piece in StoredArray(old, "<f4", 1).pieces():
                file.write(number(piece).tobytes())
        new.replace(old)
        self.unit_targets = [number(target) for target in self.unit_targets]


def report_of(plain: dict[str, Any]) -> QualityReport:
    """The quality report kept in a store's header."""
    findings = tuple(Finding(**finding) for finding in plain["findings"])
    return QualityReport(plain["name"], findings, plain["rows"], plain["units"])
