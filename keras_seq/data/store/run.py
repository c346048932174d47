"""Writing run of a folder of shards: plan, let workers write what is missing, finish; resumes when killed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from keras_seq.config import DataConfig
from keras_seq.data.databases.extract import as_table
from keras_seq.data.regular import refuse_rules
from keras_seq.data.remote import local_path
from keras_seq.data.series import Series
from keras_seq.data.sources.registry import source_info
from keras_seq.data.store.folder import FORMAT, MANIFEST, open_store, remember
from keras_seq.data.store.merge import finish
from keras_seq.data.store.plan import (
    Recipe,
    ShardJob,
    file_jobs,
    input_files,
    plan_files,
    row_bytes,
    shaping,
    source_content,
    table_recipe,
)
from keras_seq.data.store.series import StoredSeries
from keras_seq.data.store.writer import WORK, facts_path, loaded, read_facts, shard_name, write_shard
from keras_seq.errors import ConfigError, OutputError
from keras_seq.figures import Say, silent
from keras_seq.files import ensure_writable, locked, read_json, write_json

PLAN = "plan.json"
SHARD_BYTES = 128 * 2**20
WORTH_A_WORKER = 64 * 2**20  # bytes to be written


class Written(NamedTuple):
    """The finished shards, how many of them this run wrote, and how many were there already."""

    series: StoredSeries
    new: int
    kept: int


def write_shards(
    config: DataConfig,
    output: str | Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    workers: int = 0,
    runner: str = "local",
    say: Say = silent,
) -> Written:
    """Write a source as shards; run again after a kill, it goes on with what is missing.

    Args:
        config: the data section: source and everything that shapes rows, and the split to be assigned. Source 'table'
            takes a file or a folder of files.
        output: folder of the shards; new, empty, or of the same run.
        shard_bytes: size of one shard, about.
        workers: processes; 1: none but this; 0: one per processor, fewer for little data.
        runner: "local", or "beam" for Apache Beam (default options of its pipeline).
        say: told about the progress.

    Raises:
        ConfigError: options that do not fit, or another run's unfinished folder.
        DataError: as the table source and the quality check, also rows that are not sorted by unit and time.
        OutputError: the folder cannot be written or holds something else; the disk is full.
    """
    folder, config = Path(output), as_table(config)
    recipe, jobs, series, plan = _plan(config, folder, shard_bytes)
    if (folder / MANIFEST).is_file():
        _same_plan(folder / MANIFEST, plan, folder, finished=True)
        say(f"'{folder}' is finished already")
        return Written(open_store(folder), 0, len(jobs))
    if folder.is_dir() and not (folder / WORK).is_dir() and any(folder.iterdir()):
        raise OutputError(f"The folder '{folder}' is not empty and holds no shards; choose another --output.")
    ensure_writable(folder / WORK)
    try:
        with locked(folder / WORK / "lock", wait=False):
            there = _resume(folder, jobs, plan)
            missing = [job for job in jobs if job.number not in there]
            size = _enough_space(folder, missing, shard_bytes)
            workers = workers or min(len(os.sched_getaffinity(0)), 1 + size // WORTH_A_WORKER)
            if there:
                say(f"{len(there)} of {len(jobs)} shards are there already")
            _run(recipe, missing, workers, runner, say, len(jobs))
            finish(recipe, jobs, series, {"plan": plan})
    except BlockingIOError:
        raise OutputError(
            f"Another process is writing shards to '{folder}'. Wait for it, or choose another --output."
        ) from None
    shutil.rmtree(folder / WORK, ignore_errors=True)
    finished = open_store(folder)
    remember(finished)
    return Written(finished, len(missing), len(there))


def _plan(
    config: DataConfig, folder: Path, shard_bytes: int
) -> tuple[Recipe, list[ShardJob], Series | None, dict[str, Any]]:
    """Recipe, jobs, the series of a source of the project, and what must be equal for a run to go on."""
    source = source_info(config.source)
    if source.is_shards:
        raise ConfigError("data.source=shards is written already; name the source to write, such as table.")
    from keras_seq.data.covariates.add import wanted
    from keras_seq.data.plans.marks import refuse_on_disk

    if wanted(config.covariates):
        raise ConfigError("data.covariates are computed in memory; write them into the file, or leave them out.")
    refuse_rules(config, "shards are written row by row")
    series = None
    facts: list[Any]
    if source.is_table:
        files = input_files(config)
        recipe = table_recipe(config, plan_files(config, files), files, folder)
        assert recipe.layout is not None
        jobs = file_jobs(recipe.layout, files, shard_bytes)
        facts = [[file.name for file in files], source_content(config, files)]
    else:
        config = config.model_copy(update={"subset": source.subset(config) or None})
        series = loaded(config)
        time_kind = "M8[ns]" if series.time.dtype.kind == "M" else "f8"
        recipe = Recipe(config, None, {}, series.schema, time_kind, str(folder))
        step, rows = max(1, shard_bytes // row_bytes(series.schema)), len(series.values)
        jobs = [ShardJob(i, "", (low, min(low + step, rows))) for i, low in enumerate(range(0, rows, step))]
        facts = [series.fingerprint()]
    if marks := [*config.known_ahead, *(column.name for column in recipe.schema.columns if column.known_ahead)]:
        refuse_on_disk(marks[0])
    plan = {
        "layout of the folder": FORMAT,
        "data.source": config.source,
        "data.path": str(local_path(config.path).resolve()) if config.path else None,
        "the input files (name and content)": hashlib.sha256(json.dumps(facts).encode()).hexdigest(),
        "--shard-size": shard_bytes,
    } | _named(config)
    return recipe, jobs, series, json.loads(json.dumps(plan))


def _named(config: DataConfig) -> dict[str, Any]:
    return {f"data.{name}": value for name, value in shaping(config).items()}


def _same_plan(path: Path, plan: dict[str, Any], folder: Path, *, finished: bool) -> None:
    """Refuse to go on with other options than the folder was begun with.

    Raises:
        ConfigError: names what has changed.
    """
    try:
        old = _named(DataConfig()) | (read_json(path)["plan"] if finished else read_json(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"'{path}' cannot be read ({error}); remove the folder '{folder}' and start anew.") from None
    if changed := [name for name in plan if old.get(name) != plan[name]]:
        what = "; ".join(f"{name} was {old.get(name)!r}, now {plan[name]!r}" for name in changed)
        raise ConfigError(
            f"The shards in '{folder}' were {'written' if finished else 'begun'} with other settings: {what}. Use the "
            "same settings, choose another --output, or remove the folder."
        )


def _resume(folder: Path, jobs: Sequence[ShardJob], plan: dict[str, Any]) -> set[int]:
    """Numbers of the shards that are finished; leftovers of a killed run are removed."""
    if (folder / WORK / PLAN).is_file():
        _same_plan(folder / WORK / PLAN, plan, folder, finished=False)
    else:
        write_json(folder / WORK / PLAN, plan)
    for leftover in [*folder.glob(".shard-*.partial-*"), *(folder / WORK).glob(".shard-*.partial-*")]:
        leftover.unlink(missing_ok=True)
    finished = set()
    for number in [job.number for job in jobs if facts_path(folder, job.number).is_file()]:
        shard = folder / shard_name(number)
        if shard.is_file() and shard.stat().st_size == read_facts(folder, number)[0]["bytes"]:
            finished.add(number)
    return finished


def _enough_space(folder: Path, jobs: Sequence[ShardJob], shard_bytes: int) -> int:
    """Bytes that jobs will write, about; refuses early what the disk will not hold."""
    need = sum(shard_bytes if job.span else Path(job.path).stat().st_size for job in jobs)
    ensure_writable(folder, need_mb=need // 2**20 + 20)
    return need


def _run(recipe: Recipe, jobs: Sequence[ShardJob], workers: int, runner: str, say: Say, total: int) -> None:
    if not jobs:
        return
    if runner == "beam":
        from keras_seq.data.store.beam import run_beam

        run_beam(recipe, jobs)
        return
    workers = min(workers, len(jobs))
    if workers == 1:
        _tell(map(partial(write_shard, recipe), jobs), say, total - len(jobs), total)
        return
    # A fresh interpreter per worker: threads of this one (Arrow, TensorFlow) would not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(write_shard, recipe, job) for job in jobs]
        try:
            _tell((future.result() for future in as_completed(futures)), say, total - len(jobs), total)
        except BrokenProcessPool:
            raise OutputError(
                "A worker was killed (out of memory?) while it wrote a shard. Run the same command again: finished "
                "shards are kept; with fewer --workers or a smaller --shard-size it needs less memory."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _tell(done: Iterable[int], say: Say, before: int, total: int) -> None:
    for count, _ in enumerate(done, start=before + 1):
        say(f"{count} of {total} shards written")
