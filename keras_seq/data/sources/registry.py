"""Registry of data sources: each registers itself in a file of this package, or of one with the entry point.

A new source is one file with one decorated function; nothing else need know of it::

    PUMPS = SourceInfo(
        "pumps", "vibration of 40 pumps up to their repair", "regression", folder="pumps", files=("pumps.csv",)
    )


    @register(PUMPS)
    def load_pumps(config: DataConfig) -> Series:
        (path,) = PUMPS.paths(config)
        ...
        return build_series(schema, units, targets, info=PUMPS.origin)

The files are imported when sources are asked for, so they import pandas, scipy, pyarrow and statsmodels inside their
functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from keras_seq.config import DataConfig, TaskName
from keras_seq.data.home import require
from keras_seq.data.plugins import load_plugins
from keras_seq.data.series import Series
from keras_seq.errors import ConfigError, nearest

Load = Callable[[DataConfig], Series]
GITHUB = "https://raw.githubusercontent.com/"


@dataclasses.dataclass(frozen=True)
class Download:
    """One file of a set, and how to know that it arrived whole.

    Attributes:
        name: file name in the set's folder.
        url: where it is; a ``.gz`` that ``name`` has not is unpacked.
        sha256: of the file as it is kept (unpacked).
        size: its bytes.
    """

    name: str
    url: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class SourceInfo:
    """A source of series, known without loading it.

    Attributes:
        name: value of ``data.source``.
        what: one line for lists.
        task: default task; None where the file or the options decide.
        folder: its folder below the data home; None: embedded, or the user's own file.
        files: files needed there; ``{subset}`` stands for the subset.
        subsets: values of ``data.subset``; the first is the default.
        licence: origin and licence in one line.
        url: a page about the data, where there is a public one.
        downloads: where files can be fetched from.
        embedded: always there, needs no file.
        is_table: the user's own table at ``data.path``: checked when loaded; its dialect and classes are told from the
            file; with ``data.cache`` off it is streamed from a store on disk.
        is_shards: a folder of shards at ``data.path``, whose columns were chosen and checked when they were written.
        given_by: option that names the user's own data.
        rank: place in lists, lowest first; equal ones by name.
        load: reads the series; set by ``register``.
    """

    name: str
    what: str
    task: TaskName | None = None
    folder: str | None = None
    files: tuple[str, ...] = ()
    subsets: tuple[str, ...] = ()
    licence: str = ""
    url: str | None = None
    downloads: tuple[Download, ...] = ()
    embedded: bool = False
    is_table: bool = False
    is_shards: bool = False
    given_by: str = "--data.path"
    rank: int = 50
    load: Load | None = None

    @property
    def origin(self) -> dict[str, Any]:
        """Licence and page, for ``Series.info``."""
        return {"origin": self.licence} | ({"url": self.url} if self.url else {})

    def files_of(self, subset: str | None = None) -> tuple[str, ...]:
        """Files of one subset, or of all of them."""
        names = [subset] if subset else list(self.subsets) or [""]
        return tuple(dict.fromkeys(file.format(subset=name) for name in names for file in self.files))

    def subset(self, config: DataConfig) -> str:
        """The subset asked for, or the default; "" where the source has none.

        Raises:
            ConfigError: the source has no such subset.
        """
        if config.subset is None:
            return self.subsets[0] if self.subsets else ""
        if not self.subsets:
            raise ConfigError(f"Source '{self.name}' has no subsets, got data.subset={config.subset!r}; leave it out.")
        if config.subset not in self.subsets:
            raise ConfigError(
                f"Source '{self.name}' has no subset '{config.subset}'{nearest(config.subset, self.subsets)}"
            )
        return config.subset

    def paths(self, config: DataConfig, files: tuple[str, ...] = ()) -> list[Path]:
        """Paths of ``files``, or of those of the configured subset.

        Raises:
            ConfigError: the source has no such subset.
            DataError: a file is missing or empty.
        """
        return require(self.name, self.folder or "", files or self.files_of(self.subset(config)), config.home)


_SOURCES: dict[str, SourceInfo] = {}


def register(info: SourceInfo) -> Callable[[Load], Load]:
    """Decorator: the function loads the source ``info``."""

    def keep(load: Load) -> Load:
        _SOURCES[info.name] = dataclasses.replace(info, load=load)
        return load

    return keep


@cache
def known_sources() -> dict[str, SourceInfo]:
    """Every source by name, embedded ones first, the user's own file last."""
    package = __name__.rpartition(".")[0]
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
    load_plugins("keras_seq.sources")
    return {info.name: info for info in sorted(_SOURCES.values(), key=lambda info: (info.rank, info.name))}


def source_info(name: str) -> SourceInfo:
    """The source called ``name``.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    sources = known_sources()
    if name not in sources:
        raise ConfigError(f"Unknown data.source '{name}'{nearest(name, sources)}")
    return sources[name]


def is_streamed(config: DataConfig) -> bool:
    """Whether the rows stay in a store on disk: a table of the user's own, with ``data.cache`` off."""
    return not config.cache and source_info(config.source).is_table


def load_series(config: DataConfig, *, checked: bool = True) -> Series:
    """Load a source and choose the configured task, targets and features.

    Args:
        config: the data section.
        checked: refuse a file of the user's own that fails the quality check (False: the caller reports it).

    Raises:
        ConfigError: unknown source, subset, feature or target, or a task the targets do not fit.
        DataError: files missing or malformed.
    """
    info = source_info(config.source)
    info.subset(config)
    if config.path and not (info.is_table or info.is_shards):
        raise ConfigError(
            f"data.path={config.path!r} is read by source 'table', but data.source is '{info.name}'; "
            "set --data.source table."
        )
    assert info.load is not None  # set by register
    series = info.load(config)
    if info.is_table and checked:
        from keras_seq.data.quality import check

        check(series).raise_if_bad()
    if info.is_shards:
        return series
    from keras_seq.data.sources.select_columns import choose

    return choose(series, config)
