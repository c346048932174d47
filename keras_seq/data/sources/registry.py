"""The sources by name; their modules (and pandas, scipy, statsmodels) are imported when one is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from keras_seq.config import DataConfig, Task
from keras_seq.errors import ConfigError, nearest

if TYPE_CHECKING:
    from keras_seq.data.series import Series

PACKAGE = "keras_seq.data.sources"


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source without loading it.

    Attributes:
        name: value of ``data.source``.
        what: one line for lists.
        task: default task; None where the file or the options decide.
        loader: ``module:function`` below this package, called with the data section (caster: with its own).
        folder: its folder below the data home; None: embedded, or the user's own file.
        files: files needed there; ``{subset}`` stands for the subset.
        subsets: values of ``data.subset``; the first is the default.
        licence: origin and licence in one line.
        url: a page about the data, where there is a public one.
        embedded: always there, needs no file.
    """

    name: str
    what: str
    task: Task | None
    loader: str
    folder: str | None = None
    files: tuple[str, ...] = ()
    subsets: tuple[str, ...] = ()
    licence: str = ""
    url: str | None = None
    embedded: bool = False

    def files_of(self, subset: str | None = None) -> tuple[str, ...]:
        """Files of one subset, or of all of them."""
        names = [subset] if subset else list(self.subsets) or [""]
        return tuple(dict.fromkeys(file.format(subset=name) for name in names for file in self.files))


_SOURCES = (
    SourceInfo(
        "caster",
        "generated continuous casting: precursors of defects in the order and lag of events",
        "binary",
        "caster:load_caster",
        licence="part of this project",
        embedded=True,
    ),
    SourceInfo(
        "co2",
        "weekly CO2 at Mauna Loa 1958-2001, with missing weeks",
        "forecast",
        "weekly:load_co2",
        licence="Keeling & Whorf, Scripps; ships with statsmodels (public domain)",
        embedded=True,
    ),
    SourceInfo(
        "cmapss",
        "NASA turbofan run-to-failure: remaining useful life",
        "regression",
        "cmapss:load_cmapss",
        "cmapss",
        ("train_{subset}.txt", "test_{subset}.txt", "RUL_{subset}.txt"),
        ("FD001", "FD002", "FD003", "FD004"),
        "Saxena et al. 2008, NASA Ames; released for public use, confirm before redistributing",
        "https://data.nasa.gov/dataset/cmapss-jet-engine-simulated-data",
    ),
    SourceInfo(
        "wafer",
        "semiconductor etch, 6 sensors: abnormal wafers",
        "binary",
        "wafer:load_wafer",
        "wafer_mts",
        ("Wafer.mat",),
        licence="Olszewski 2001 (CMU-CS-01-108); no explicit licence, do not redistribute",
    ),
    SourceInfo(
        "jvowels",
        "JapaneseVowels, 12 cepstrum channels: which of 9 speakers",
        "multiclass",
        "jvowels:load_jvowels",
        "jvowels",
        ("JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts"),
        licence="Kudo et al. 1999, UCI (CC BY 4.0)",
        url="https://archive.ics.uci.edu/ml/datasets/Japanese+Vowels",
    ),
    SourceInfo(
        "gasoline",
        "weekly US gasoline supplied, last 628 weeks up to 2019-12",
        "forecast",
        "weekly:load_gasoline",
        "us_gasoline",
        ("us_gasoline.csv",),
        licence="US Energy Information Administration; public domain",
        url="https://www.eia.gov/dnav/pet/pet_cons_wpsup_k_w.htm",
    ),
    SourceInfo(
        "ett",
        "electricity transformer temperature, 7 columns, 12/4/4 months",
        "forecast",
        "ett:load_ett",
        "ett",
        ("{subset}.csv",),
        ("ETTh1", "ETTh2", "ETTm1", "ETTm2"),
        "Zhou et al. 2021 (Informer); CC BY-ND 4.0",
        "https://github.com/zhouhaoyi/ETDataset",
    ),
    SourceInfo(
        "market",
        "daily stock index 1999-2018: next day's return or direction",
        "forecast",
        "market:load_market",
        "market",
        ("{subset}.csv",),
        ("sp500", "nasdaq"),
        "Yahoo Finance and FRED, redistributed by the arch package; research use",
        "https://github.com/bashtage/arch",
    ),
    SourceInfo("table", "your own CSV or Parquet file (--data.path)", None, "table_files:load_files"),
    SourceInfo(
        "shards", "a folder written by python -m keras_seq.data shard (--data.path)", None, "shards:load_shards"
    ),
)
_BY_NAME = {info.name: info for info in _SOURCES}


def known_sources() -> dict[str, SourceInfo]:
    """Every source by name, embedded ones first, the user's own file last."""
    return dict(_BY_NAME)


def source_info(name: str) -> SourceInfo:
    """The source called ``name``.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if name not in _BY_NAME:
        raise ConfigError(f"Unknown data.source '{name}'{nearest(name, _BY_NAME)}")
    return _BY_NAME[name]


def subset_of(config: DataConfig) -> str:
    """The subset asked for, or the source's default; "" where a source has none.

    Raises:
        ConfigError: the source has no such subset.
    """
    info = source_info(config.source)
    if config.subset is None:
        return info.subsets[0] if info.subsets else ""
    if not info.subsets:
        raise ConfigError(f"Source '{info.name}' has no subsets, got data.subset={config.subset!r}; leave it out.")
    if config.subset not in info.subsets:
        raise ConfigError(f"Source '{info.name}' has no subset '{config.subset}'{nearest(config.subset, info.subsets)}")
    return config.subset


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
    subset_of(config)
    if config.path and info.name not in ("table", "shards"):
        raise ConfigError(
            f"data.path={config.path!r} is read by source 'table', but data.source is '{info.name}'; "
            "set --data.source table."
        )
    module, _, function = info.loader.partition(":")
    series = getattr(import_module(f"{PACKAGE}.{module}"), function)(config.caster if info.name == "caster" else config)
    if info.name == "table" and checked:
        from keras_seq.data.quality import check

        check(series).raise_if_bad()
    if info.name == "shards":  # chosen when the shards were written
        return series
    from keras_seq.data.sources.select_columns import choose

    return choose(series, config)
