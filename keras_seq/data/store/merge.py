"""Manifest and index of all shards: units across shards, statistics, quality, the split."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.quality import Finding, QualityReport, check_sample
from keras_seq.data.series import Series
from keras_seq.data.sources.table import lossy_columns, number_taker
from keras_seq.data.sources.table_targets import settle_target_per
from keras_seq.data.splits import split
from keras_seq.data.store.folder import FORMAT, INDEX, MANIFEST
from keras_seq.data.store.plan import Recipe, ShardJob
from keras_seq.data.store.series import StoredRows, series_of
from keras_seq.data.store.units import UnitList
from keras_seq.data.store.writer import read_facts, shard_name
from keras_seq.errors import DataError
from keras_seq.files import new_file, sha256, write_json


def finish(recipe: Recipe, jobs: Sequence[ShardJob], source: Series | None, more: dict[str, Any] | None) -> None:
    """Write the index and, last of all, the manifest.

    Args:
        recipe: of the run.
        jobs: all of them, in the order of the input; their shards are there.
        source: the source of the project that was written, if it was one.
        more: for the manifest of a folder that keeps the split of ``recipe.config``; None: it keeps none.

    Raises:
        DataError: there are no rows, a unit's rows are not together, its time does not rise from one shard to the
            next, the rows fail the quality check, or the split cannot be made of them.
    """
    folder = Path(recipe.folder)
    manifest, index = _merge(recipe, jobs, source)
    if not manifest["rows"]:
        raise DataError(f"'{recipe.layout.path if recipe.layout else manifest['name']}' holds no data rows.")
    with new_file(folder / INDEX) as path:
        np.savez(path, **index)  # type: ignore[arg-type]
    manifest["index_sha256"] = sha256(folder / INDEX)
    series = series_of(StoredRows(folder, manifest, index, ""))
    choices = recipe.layout.choices if recipe.layout else ()
    findings = [*(Finding("warning", "reading", choice) for choice in choices), *check_sample(series)]
    QualityReport(manifest["name"], tuple(findings), manifest["rows"], series.n_units).raise_if_bad()
    manifest["findings"] = [dataclasses.asdict(finding) for finding in findings]
    if more is not None:
        manifest |= _divide(series, recipe.config) | more
    write_json(folder / MANIFEST, manifest)


def _merge(
    recipe: Recipe, jobs: Sequence[ShardJob], source: Series | None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Manifest and index of the whole, without what the check and the split say."""
    facts = [read_facts(recipe.folder, job.number) for job in jobs]
    units = UnitList(timed=bool(recipe.time_kind))
    for job, (plain, arrays) in zip(jobs, facts, strict=True):
        units.constant &= plain["constant"]
        runs = plain["units"], plain["groups"], plain["unit_rows"], arrays["times"], arrays["first_targets"]
        for run in zip(*runs, strict=True):
            units.add(*run, _where(job))
    names, schema, info = list(units.names), recipe.schema, source.info if source is not None else {}
    if recipe.layout is not None:
        config, path, constant = recipe.config, str(recipe.layout.path), units.constant
        dense = config.windows.per_step
        schema = settle_target_per(recipe.layout, schema, path, units=len(names), constant=constant, dense=dense)
        info = _info(recipe, [arrays["precision"] for _, arrays in facts])
    index = {
        "offsets": np.concatenate([[0], np.cumsum(units.rows)]).astype(np.int64),
        "piece_shard": np.repeat(np.arange(len(facts)), [len(arrays["piece_rows"]) for _, arrays in facts]),
    }
    index |= {name: np.concatenate([arrays[name] for _, arrays in facts]) for name in ("piece_rows", "at", "moments")}
    if schema.target_per == "unit":
        index["unit_targets"] = np.array(units.targets, np.float32)
    shards = [
        {"name": shard_name(job.number)} | {k: plain[k] for k in ("rows", "bytes", "sha256")}
        for job, (plain, _) in zip(jobs, facts, strict=True)
    ]
    manifest = {
        "format": FORMAT,
        "name": schema.name,
        "rows": int(index["offsets"][-1]),
        "units": names,
        "groups": units.groups if units.groups != names else [],
        "official": source.official.tolist() if source is not None and (source.official != "").any() else [],
        "info": info,
        "schema": schema.model_dump(mode="json"),
        "time": recipe.time_kind,
        "options": {name: getattr(recipe.config, name) for name in ("impute", "missing_indicator")},
        "digest": hashlib.sha256("\n".join([*names, *(s["sha256"] for s in shards)]).encode()).hexdigest(),
        "shards": shards,
    }
    return manifest, index


def _info(recipe: Recipe, tables: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Origin of a table's rows, and the columns of which float32 loses something."""
    assert recipe.layout is not None
    taker = number_taker(recipe.layout)
    for table in tables:
        taker.merge(table)
    lossy = lossy_columns(taker)
    origin = {"origin": Path(recipe.config.path or recipe.layout.path).name, "streamed": True}
    return origin | ({"precision": lossy} if lossy else {})


def _divide(series: Series, config: DataConfig) -> dict[str, Any]:
    """The split assigned to the folder, and the size of its parts."""
    splits = split(series, config)
    parts = {
        name: {"units": part.units.tolist(), "first": part.first.tolist(), "last": part.last.tolist()}
        for name, part in splits.items()
    }
    settings = config.split.model_dump(mode="json")
    return {
        "split": {"settings": settings, "fingerprint": splits.fingerprint, "parts": parts},
        "statistics": {name: {"units": len(part), "rows": part.rows} for name, part in splits.items()},
    }


def _where(job: ShardJob) -> str:
    if not job.span:
        return f"at the start of '{job.path}'"
    what = "row groups" if job.path.lower().endswith((".parquet", ".pq")) else "bytes"
    return f"at the start of '{job.path}' ({what} {job.span[0]} to {job.span[1]})"
