"""Manifest and index of all shards: units across shards, classes, statistics, the split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.running_stats import Moments
from keras_seq.data.scaling import known_moments
from keras_seq.data.series import Schema, Series
from keras_seq.data.shards.jobs import Recipe, ShardJob
from keras_seq.data.shards.writer import facts_path, shard_name
from keras_seq.data.sources.table_targets import settle_target_per
from keras_seq.data.splits import split
from keras_seq.errors import DataError

FORMAT = 1
SHAPING = (
    *("unit", "group", "time", "task", "targets", "features", "positive", "impute", "missing_indicator"),
    *("delimiter", "encoding", "decimal", "thousands", "row_names", "date_format", "zone", "strict"),
    *("missing_codes", "missing_texts"),
    *("header", "names", "skip_lines", "skip_footer", "comment", "quoted_lines", "member"),
)


@dataclass(frozen=True)
class ShardFacts:
    """Facts of one shard, from the worker that wrote it: ``ShardTaker.facts`` and ``.arrays``."""

    plain: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def read_facts(folder: str | Path, number: int) -> ShardFacts:
    """The facts of a finished shard."""
    with np.load(facts_path(folder, number), allow_pickle=False) as file:
        arrays = dict(file)
    return ShardFacts(json.loads(arrays.pop("facts").tobytes()), arrays)


def merge(
    recipe: Recipe, jobs: Sequence[ShardJob], loaded: Series | None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Manifest and index of the whole, without statistics and split.

    Args:
        recipe: of the run.
        jobs: all of them, in the order of the input.
        loaded: the source of the project that was written, if it was one.

    Raises:
        DataError: a unit's rows are not together, or its time does not rise from one shard to the next.
    """
    facts = [read_facts(recipe.folder, job.number) for job in jobs]
    joined = _Units(recipe)
    for job, fact in zip(jobs, facts, strict=True):
        joined.add(job, fact)
    schema = _schema(recipe, facts, joined) if loaded is None else loaded.schema
    index = {
        "offsets": np.concatenate([[0], np.cumsum(joined.rows)]).astype(np.int64),
        "piece_rows": np.concatenate([fact.arrays["piece_rows"] for fact in facts]),
        "piece_shard": np.repeat(np.arange(len(facts)), [len(fact.arrays["piece_rows"]) for fact in facts]),
        "at": np.concatenate([fact.arrays["at"] for fact in facts]),
        "moments": np.concatenate([fact.arrays["moments"] for fact in facts]),
    }
    if schema.target_per == "unit":
        index["unit_targets"] = np.array(joined.targets, np.float32)
    names = list(joined.numbers)
    shards = [
        {"name": shard_name(job.number, recipe.format)} | {k: fact.plain[k] for k in ("rows", "bytes", "sha256")}
        for job, fact in zip(jobs, facts, strict=True)
    ]
    digest = hashlib.sha256("\n".join([*names, *(s["sha256"] for s in shards)]).encode()).hexdigest()
    manifest = {
        "format": FORMAT,
        "kind": recipe.format,
        "name": schema.name,
        "rows": int(index["offsets"][-1]),
        "units": names,
        "groups": joined.groups if joined.groups != names else [],
        "official": loaded.official.tolist() if loaded is not None and (loaded.official != "").any() else [],
        "info": loaded.info
        if loaded is not None
        else {"origin": Path(recipe.config.path or "").name, "streamed": True},
        "schema": schema.model_dump(mode="json"),
        "time": recipe.time_kind,
        "options": {name: getattr(recipe.config, name) for name in SHAPING},
        "digest": digest,
        "shards": shards,
    }
    return manifest, index


def describe(series: Series, config: DataConfig) -> dict[str, Any]:
    """Split assignment and statistics of a series of shards, for the manifest.

    Raises:
        DataError: the split cannot be made of these units.
    """
    splits = split(series, config)
    parts = {
        name: {"units": part.units.tolist(), "first": part.first.tolist(), "last": part.last.tolist()}
        for name, part in splits.items()
    }
    statistics = {}
    for name, part in splits.items():
        moments = known_moments(series, part)
        assert moments is not None  # shards hold them
        targets = moments[1]
        if series.schema.target_per == "unit":
            targets = Moments(len(series.schema.targets))
            targets.add(series.targets[part.units])
        statistics[name] = {
            "units": len(part),
            "rows": part.rows,
            "columns": _columns(series.schema.features, moments[0], part.rows),
            "targets": _columns(
                series.schema.targets, targets, len(part) if series.schema.target_per == "unit" else part.rows
            ),
        }
    settings = config.split.model_dump(mode="json")
    return {
        "split": {"settings": settings, "fingerprint": splits.fingerprint, "parts": parts},
        "statistics": statistics,
    }


def _columns(names: Sequence[str], moments: Moments, rows: int) -> dict[str, dict[str, float | None]]:
    def plain(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    return {
        name: {
            "missing": int(rows - moments.count[j]),
            "mean": plain(moments.mean[j]),
            "std": plain(moments.std[j]),
            "min": plain(moments.low[j]),
            "max": plain(moments.high[j]),
        }
        for j, name in enumerate(names)
    }


class _Units:
    """Units in the order of the input; one that goes on in the next shard stays one."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.numbers: dict[str, int] = {}
        self.rows: list[int] = []
        self.groups: list[str] = []
        self.targets: list[NDArray[np.float32]] = []
        self.constant = True
        self.last_time: Any = None

    def add(self, job: ShardJob, fact: ShardFacts) -> None:
        """Take in a shard."""
        times, targets = fact.arrays["times"], fact.arrays["first_targets"]
        self.constant &= fact.plain["constant"]
        before = next(reversed(self.numbers), None)
        for number, (unit, group) in enumerate(zip(fact.plain["units"], fact.plain["groups"], strict=True)):
            rows = fact.plain["unit_rows"][number]
            if unit == before and number == 0:
                self._go_on(job, unit, group, times[0], targets[0])
                self.rows[-1] += rows
            elif unit in self.numbers:
                raise DataError(
                    f"The rows of unit '{unit}' are not together: there are more of them in {self._where(job)}. The "
                    "input is streamed and must be sorted by unit, then time (files of a folder go by their names). "
                    "Sort it, or give the units different names."
                )
            else:
                self.numbers[unit] = len(self.numbers)
                self.rows.append(rows)
                self.groups.append(group)
                self.targets.append(targets[number])
        self.last_time = times[-1, 1]

    def _go_on(self, job: ShardJob, unit: str, group: str, time: NDArray[Any], target: NDArray[np.float32]) -> None:
        if self.recipe.time_kind and not time[0] > self.last_time:
            raise DataError(
                f"Time does not rise in unit '{unit}': {time[0]} follows {self.last_time}, at the start of "
                f"{self._where(job)}. The input is streamed and must be sorted by unit, then time (files of a folder "
                "go by their names). Sort it."
            )
        if group != self.groups[-1]:
            raise DataError(
                f"Unit '{unit}' belongs to group '{self.groups[-1]}' and, in {self._where(job)}, to group '{group}'; a "
                "unit has one group."
            )
        before = self.targets[-1]
        self.constant &= bool(((target == before) | np.isnan(target) | np.isnan(before)).all())
        self.targets[-1] = np.where(np.isfinite(before), before, target)

    def _where(self, job: ShardJob) -> str:
        if not job.span:
            return f"'{job.path}'"
        what = "row groups" if job.path.lower().endswith((".parquet", ".pq")) else "bytes"
        return f"'{job.path}' ({what} {job.span[0]} to {job.span[1]})"


def _schema(recipe: Recipe, facts: list[ShardFacts], units: _Units) -> Schema:
    """The schema with what only all rows tell: whether 0 and 1 are classes, whether targets are per unit."""
    layout, schema = recipe.layout, recipe.schema
    assert layout is not None
    numbers = [fact.plain["numbers"] for fact in facts]
    guess = not layout.task_given and schema.task == "regression" and len(schema.targets) == 1 and None not in numbers
    if guess and {value for values in numbers for value in values} == {0.0, 1.0}:
        schema = schema.model_copy(update={"task": "binary", "classes": schema.classes or ("0", "1")})
    config, count = recipe.config, len(units.numbers)
    dense = config.windows.per_step
    return settle_target_per(layout, schema, str(config.path), units=count, constant=units.constant, dense=dense)
