"""``python -m keras_seq.data shard``, ``validate`` and ``export``: writing a folder, seeing that it is whole, copies.

All answer with the fields of a JSON document and the same as text.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_seq.config import DataConfig
from keras_seq.errors import ConfigError, nearest

if TYPE_CHECKING:
    from keras_seq.data.store.series import StoredSeries

FORMATS, RUNNERS = ("parquet", "tfrecord"), ("local", "beam")
UNITS = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}
LEAST = 2**16  # bytes of a shard


def add_options(parser: argparse.ArgumentParser, commands: Sequence[str]) -> None:
    """Command-line options of ``shard`` (besides the fields of the data section) and of ``export``."""
    parser.add_argument("--output", metavar="FOLDER", help="shard, export: folder to write; a killed shard goes on")
    if "export" in commands:
        parser.add_argument("--format", default="parquet", metavar="|".join(FORMATS), help="export: default parquet")
    if "shard" in commands:
        parser.add_argument("--shard-size", default="128MB", metavar="SIZE", help="shard: about, such as 512KB or 1GB")
        parser.add_argument("--workers", default="0", metavar="N", help="shard: processes; 0: one per processor")
        parser.add_argument(
            "--runner", default="local", metavar="|".join(RUNNERS), help="shard: beam needs apache-beam"
        )


def shard(options: argparse.Namespace, data: DataConfig) -> tuple[dict[str, Any], str]:
    """Write the source of a data section as shards, by the parsed ``add_options``."""
    from keras_seq.data.store.run import write_shards

    if not options.output:
        raise ConfigError("Command 'shard' needs --output FOLDER, where the shards are written.")
    begin = time.perf_counter()
    written = write_shards(
        data,
        options.output,
        shard_bytes=parse_size(options.shard_size),
        workers=_count(options.workers),
        runner=_one_of("--runner", options.runner, RUNNERS),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    seconds = time.perf_counter() - begin
    last_line = f"{written.new} shards written, {written.kept} kept, {seconds:.1f} s: {options.output}"
    return _told(written.series, last_line, written=written.new, kept=written.kept)


def validate(words: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Read every shard of a folder and compare it with the manifest."""
    from keras_seq.data.store.folder import open_store, verify

    series = open_store(_folder("validate", words))
    checked = verify(series, again=True)
    return _told(series, f"{checked} shards read: all as they were written", checked=checked)


def export(options: argparse.Namespace, words: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Copy the shards of a folder into files of another format, by the parsed ``add_options``."""
    from keras_seq.data.store.export import export_shards
    from keras_seq.data.store.folder import open_store

    format, folder = _one_of("--format", options.format, FORMATS), _folder("export", words)
    if not options.output:
        raise ConfigError("Command 'export' needs --output FOLDER, where the copies are written.")
    files = export_shards(open_store(folder), options.output, format)
    fields = {"folder": options.output, "format": format, "files": [str(file) for file in files]}
    return fields, f"{len(files)} {format} files: {options.output}"


def _folder(command: str, words: Sequence[str]) -> str:
    if len(words) != 1 or words[0].startswith("-"):
        raise ConfigError(f"Command '{command}' needs the folder of the shards and nothing else: {command} FOLDER.")
    return words[0]


def parse_size(text: str) -> int:
    """``"128MB"`` in bytes (a MB has 2**20).

    Raises:
        ConfigError: not a size, or too small.
    """
    match = re.fullmatch(r"\s*([\d.]+)\s*([KMG]?B)?\s*", text, re.IGNORECASE)
    try:
        size = int(float(match[1]) * UNITS[(match[2] or "B").upper()]) if match else 0
    except ValueError:
        size = 0
    if size < LEAST:
        raise ConfigError(f"--shard-size must be a size of at least 64KB, such as 128MB or 1GB; got {text!r}.")
    return size


def _count(text: str) -> int:
    if not text.isdigit():
        raise ConfigError(f"--workers must be a number of processes, 0 for one per processor; got {text!r}.")
    return int(text)


def _one_of(option: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ConfigError(f"Unknown {option} '{value}'{nearest(value, known)}")
    return value


def _told(series: StoredSeries, last_line: str, **more: int) -> tuple[dict[str, Any], str]:
    """A folder as fields and as lines."""
    manifest = series.stored.manifest
    fields = {
        "folder": str(series.stored.folder),
        "shards": len(manifest["shards"]),
        "bytes": sum(shard["bytes"] for shard in manifest["shards"]),
        "rows": manifest["rows"],
        "units": len(manifest["units"]),
        "digest": manifest["digest"],
        "split": manifest.get("statistics", {}),
    }
    lines = [
        f"{manifest['name']}: task {series.schema.task}, {fields['rows']} rows in {fields['units']} units, "
        f"{len(series.schema.features)} features; {fields['shards']} shards, {fields['bytes'] / 2**20:.1f} MB",
        *(f"  {name}: {part['units']} units, {part['rows']} rows" for name, part in fields["split"].items()),
        last_line,
    ]
    return fields | more, "\n".join(lines)
