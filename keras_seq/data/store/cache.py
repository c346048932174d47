"""A table of the user's own kept on disk (``data.cache: false``): written once, found again while its content stays."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from keras_seq.config import DataConfig
from keras_seq.data.databases.extract import table_path
from keras_seq.data.formats.members import table_stem
from keras_seq.data.home import stores_home
from keras_seq.data.regular import refuse_rules
from keras_seq.data.sources.table_layout import plan_table
from keras_seq.data.store.folder import FORMAT, MANIFEST, open_store
from keras_seq.data.store.merge import finish
from keras_seq.data.store.plan import ShardJob, shaping, source_content, table_recipe
from keras_seq.data.store.series import StoredSeries
from keras_seq.data.store.writer import WORK, write_shard
from keras_seq.files import ensure_writable, new_folder


def stored_series(config: DataConfig, home: Path | None = None) -> StoredSeries:
    """The rows of ``config.path`` on disk, written there if they are not yet, in memory that does not grow with them.

    Args:
        config: source 'table' with ``cache`` off.
        home: folder of the stores; default ``stores_home()``.

    Raises:
        DataError: as the table source and the quality check; also rows that are not sorted by unit and time.
        OutputError: the disk is full or cannot be written.
    """
    folder = (home or stores_home()) / store_key(config)
    if not (folder / MANIFEST).is_file():
        _write(config, folder)
    return open_store(folder, f"Remove '{folder}'; it is made anew.")


def _write(config: DataConfig, folder: Path) -> None:
    refuse_rules(config, "data.cache=false keeps them on disk")
    layout = plan_table(config)
    ensure_writable(folder.parent, need_mb=(layout.path.stat().st_size >> 20) + 100)
    job = ShardJob(0, str(layout.path), None)
    with new_folder(folder) as partial:
        recipe = table_recipe(config, layout, [layout.path], partial)
        (partial / WORK).mkdir()
        write_shard(recipe, job)
        finish(recipe, [job], None, None)
        shutil.rmtree(partial / WORK)


def store_key(config: DataConfig) -> str:
    """Name of the folder of ``config.path``: changes with the file's content and every option that shapes the rows.

    Raises:
        DataError: the file, or one that is read beside it, cannot be read.
    """
    file = (table_path(config) or Path("")).resolve()
    parts = [FORMAT, str(file), source_content(config, [file]), shaping(config)]
    return f"{table_stem(file)}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
