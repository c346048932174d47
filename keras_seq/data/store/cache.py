"""A table of the user's own kept on disk (``data.cache: false``): written once, found again while its content stays."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from keras_seq.config import DataConfig
from keras_seq.config.database import FIELDS
from keras_seq.data.databases.extract import table_path
from keras_seq.data.formats.converted import content_digest
from keras_seq.data.formats.members import labels_path, table_stem
from keras_seq.data.home import stores_home
from keras_seq.data.regular import refuse_rules
from keras_seq.data.sources.table_layout import plan_table
from keras_seq.data.store.folder import FORMAT, MANIFEST, open_store
from keras_seq.data.store.merge import finish
from keras_seq.data.store.plan import ShardJob, table_recipe
from keras_seq.data.store.series import StoredSeries
from keras_seq.data.store.writer import WORK, write_shard
from keras_seq.errors import DataError
from keras_seq.files import ensure_writable, new_folder

NOT_SHAPING = {  # fields of the data section that leave the rows as they are; every other one makes another folder
    *("source", "subset", "home", "path", *FIELDS, "schema_file", "caster", "covariates", "split", "windows"),
    *("target_cap", "scale", "conditions", "augment", "balance", "shuffle", "bucket", "cache", "prefetch", "shards"),
    "known_ahead",
}


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
        DataError: the file, or its schema file, cannot be read.
    """
    try:
        file = (table_path(config) or Path("")).resolve()
        content = content_digest(file)
        schema = content_digest(Path(config.schema_file)) if config.schema_file else ""
        schema += content_digest(Path(config.static.path).expanduser()) if config.static.path else ""
        labels = labels_path(file, config.labels)
        content += content_digest(labels) if labels else ""
    except OSError as error:
        raise DataError(f"File '{error.filename}' cannot be read ({error.strerror}).") from None
    options = config.model_dump(mode="json", exclude=NOT_SHAPING) | {"per_step": config.windows.per_step}
    parts = [FORMAT, str(file), content, schema, options, bool(config.windows.horizon)]
    return f"{table_stem(file)}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
