"""The ``data`` section: from where series come, how they are split, cut, mended, scaled and augmented."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from keras_seq.config.base import Amount, ConfigSection, Count, NonNegative, Positive, Share, TaskName
from keras_seq.config.database import FIELDS, check_source, keep_sql_password
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.config.resampling import Duplicates, ResampleConfig


class CasterConfig(ConfigSection):
    """Knobs of the continuous-casting generator; the defaults are frozen, results refer to them."""

    sequences: Count = Field(8000, description="number of cast sequences")
    heats: Count = Field(800, description="number of heats (groups) the sequences belong to")
    rows: Count = Field(3, description="rows of thermocouples down the mould (one channel each)")
    min_length: Count = Field(100, description="shortest sequence, steps")
    max_length: Count = Field(500, description="longest sequence, steps")
    amplitude: Positive = Field(3.0, description="event height in noise deviations (signal to noise)")
    decoys: NonNegative = Field(0.7, description="decoys of each kind per 150 steps")
    min_lag: Count = Field(10, description="shortest lag from level surge to temperature rise, steps")
    max_lag: Count = Field(28, description="longest lag, steps")
    hidden_share: Share = Field(0.05, description="share of precursors that leave no trace")
    p_low: Share = Field(0.02, description="defect probability without a precursor")
    p_high: Share = Field(0.90, description="defect probability with a precursor")
    drift: NonNegative = Field(0.0, description="slow sensor drift over the heats, noise deviations")
    seed: int = Field(7, description="seed of the generator (not of the training)")


class SplitConfig(ConfigSection):
    """Which units or times are train, validation and test; never which windows."""

    by: Literal["unit", "group", "stratified", "time", "official"] = Field(
        "unit",
        description="unit: whole units; group: whole groups of units; stratified: units (of whole groups) "
        "with equal class shares; time: one cut in time; official: the test units that come with the data, or the "
        "files of data.test_path",
    )
    validation: Amount = Field(0.15, description="share (< 1) or count (>= 1) of units, or of time steps")
    test: Amount = Field(0.15, description="share (< 1) or count (>= 1); ignored when by=official")
    folds: int = Field(0, ge=0, description="cross-validation folds over the non-test units (0: single split)")
    fold: int = Field(0, ge=0, description="which fold is validation")
    origins: int = Field(0, ge=0, description="cut the test rows of a split by time into this many periods (0: one)")
    origin: int = Field(0, ge=0, description="which of them is test; what comes before it may be trained on")
    periods: int = Field(0, ge=0, description="cut the validation rows of a split by time into so many (0: one)")
    period: int = Field(0, ge=0, description="which of them is validation; only what comes before it is trained on")
    train_window: Literal["expanding", "sliding"] = Field(
        "expanding", description="training rows of a later origin or period: all before, or as many as the first had"
    )
    seed: int = Field(0, description="seed of the split; the same for every model compared")
    bootstrap: int | None = Field(
        None, ge=0, description="seed that draws the training units anew, with replacement (bagging); none: each once"
    )

    @model_validator(mode="after")
    def _fold_exists(self) -> SplitConfig:
        if self.folds == 1:
            raise ValueError("folds must be 0 (single split) or at least 2, got 1")
        if self.folds and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds={self.folds}, got {self.fold}")
        if self.origins and (self.by != "time" or self.folds):
            raise ValueError(f"origins need by=time and folds=0, got by={self.by} and folds={self.folds}")
        if self.origins and self.origin >= self.origins:
            raise ValueError(f"origin must be below origins={self.origins}, got {self.origin}")
        if self.periods and (self.by != "time" or self.folds or self.origins):
            raise ValueError(
                f"periods need by=time, folds=0 and origins=0, got by={self.by}, folds={self.folds} and "
                f"origins={self.origins}"
            )
        if self.periods and self.period >= self.periods:
            raise ValueError(f"period must be below periods={self.periods}, got {self.period}")
        return self


class WindowsConfig(ConfigSection):
    """How a unit's series becomes samples."""

    mode: Literal["whole", "sliding", "last"] = Field(
        "whole", description="whole sequences, sliding windows, or the last window of each unit"
    )
    length: Count = Field(500, description="window length, or the longest sequence kept (its last steps)")
    stride: Count = Field(1, description="steps between the starts of two sliding windows")
    horizon: int = Field(0, ge=0, description="steps ahead to forecast; 0: the target of the window itself")
    per_step: bool = Field(False, description="dense supervision: a target at every step")
    pad_short: bool = Field(True, description="post-pad units shorter than the window (False: an error)")


class AugmentConfig(ConfigSection):
    """Changes made to training samples only; 0 switches one off. Units: feature deviations or shares."""

    jitter: NonNegative = Field(0.0, description="deviation of added noise, in feature deviations")
    scaling: NonNegative = Field(0.0, description="deviation of a factor per feature around 1")
    time_warp: Share = Field(0.0, description="largest local change of speed")
    window_slice: Share = Field(0.0, description="largest share of steps cut away")
    mixup: NonNegative = Field(0.0, description="alpha of mixup's Beta distribution")
    minority_only: bool = Field(False, description="only the rarest class")


class WideConfig(ConfigSection):
    """How a wide table becomes a long one; ``data.wide: true`` and ``data.wide: rows`` say the shape alone."""

    shape: Literal["columns", "rows"] | None = Field(
        None, description="columns: a column is a series; rows: a row is a series, its columns are steps; none: long"
    )
    name: str | None = Field(
        None, description="column for the names of the series; default: series, or that of the rows"
    )
    value: str = Field("value", description="column for their values")
    keep: tuple[str, ...] = Field((), description="columns of numbers that are no series or steps, and are inputs")


class ShardsConfig(ConfigSection):
    """How training reads rows on disk (shards, ``cache: false``): never what is read, only in which order."""

    interleave: Count = Field(4, description="blocks from different places that are shuffled together")
    buffer_mb: Positive = Field(
        64.0, description="most of the shuffle buffer, MB; a block of it has 32,768 rows at most"
    )
    deterministic: bool = Field(True, description="the order depends on the seed alone; False: take what is read first")
    verify: bool = Field(True, description="check the sha256 of shards that changed since they were last checked")


class StaticConfig(ConfigSection):
    """A companion table of ``data.path`` with one row a unit, whose columns become inputs of all rows of the unit."""

    path: str | None = Field(
        None, description="CSV or Parquet file with one row a unit, such as stores.csv; none: there is none"
    )
    unit: str | None = Field(None, description="its column that names the unit; default: data.unit")


class DataConfig(ConfigSection):
    """From where the series come and how they are cut, mended, scaled and fed."""

    source: str = Field("caster", description="known source (python -m keras_seq.data lists them) or 'table'")
    subset: str | None = Field(None, description="part of a source: FD001, sp500, ...")
    home: str | None = Field(None, description="data home; default KERAS_SEQ_DATA or ~/.cache/keras_seq")
    path: str | None = Field(
        None,
        description="table file, folder or address (s3://...) of source 'table' (CSV, Parquet, Excel ...); folder of "
        "source 'shards'",
    )
    url: str | None = Field(
        None, description="database of source 'sql', without its password: postgresql://user@host/name"
    )
    query: str | None = Field(None, description="of source 'sql': the rows, as one SELECT")
    table: str | None = Field(None, description="of source 'sql': the rows, as all of a table or view")
    table_schema: str | None = Field(None, description="schema that holds data.table; none: the database's default")
    statement_timeout: Positive | None = Field(None, description="of source 'sql': most seconds of one statement")
    validation_path: tuple[str, ...] = Field(
        (), description="file(s) like data.path that are the validation part; needs data.split.by=official"
    )
    test_path: tuple[str, ...] = Field(
        (), description="file(s) like data.path that are the test part, each also judged alone; as validation_path"
    )
    wide: WideConfig = Field(default_factory=WideConfig)
    labels: str | None = Field(
        None,
        description="table of labels by unit, joined to every row of its unit; a bare name also in the folder itself",
    )
    schema_file: str | None = Field(None, description="YAML or JSON schema of that file")
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="of that file; none: told from it")
    encoding: str | None = Field(None, description="of that file: utf-8, cp1252, ...; none: told from it")
    decimal: Literal[".", ","] | None = Field(None, description="decimal mark of its numbers; none: told from them")
    thousands: Literal["", ",", ".", " ", "'"] | None = Field(
        None, description="mark between thousands in its numbers; none: told from them"
    )
    row_names: bool | None = Field(None, description="rows begin with a field that the header does not name")
    header: bool | None = Field(None, description="whether its first line names the columns; none: told from it")
    names: tuple[str, ...] = Field((), description="of its columns, where it has no header; default: column_1 ...")
    skip_lines: int | None = Field(None, ge=0, description="lines before its header or rows; none: told from it")
    skip_footer: int | None = Field(None, ge=0, description="lines below its rows, such as totals; none: 0")
    comment: str | None = Field(None, description="lines of it that begin so are passed over; none: '#' before rows")
    quoted_lines: bool | None = Field(None, description="quoted texts may hold line ends; none: told from it")
    member: str | None = Field(None, description="of a zip file: the table by name; none: its only one")
    date_format: str | None = Field(
        None,
        description="of its time column: %d/%m/%Y %H:%M, epoch_s, epoch_ms, excel, year; none: told from all rows",
    )
    zone: str | None = Field(None, description="time zone whose clock tells hours and days; none: as stamps tell it")
    sheet: str | None = Field(
        None, description="of a workbook: its sheet by name, or by number from 1; none: the one with most cells"
    )
    header_row: int | None = Field(None, ge=1, description="of a sheet: row of the column names; none: told from it")
    dataset: str | None = Field(
        None, description="of a file of arrays (.npz, .mat, .h5): name or path of the one to read; none: the only one"
    )
    sort: bool = Field(False, description="sort the rows of each unit by time; newest first is turned round anyway")
    duplicates: Duplicates = Field(
        "error", description="rows of one stamp in one unit that contradict one another; copies are dropped"
    )
    resample: ResampleConfig = Field(default_factory=ResampleConfig)
    missing_codes: tuple[float, ...] = Field((), description="numbers that stand for a missing value: -200, -999")
    missing_texts: tuple[str, ...] = Field((), description="words that stand for a missing value: '?', 'bad'")
    strict: bool = Field(False, description="refuse a table of which two readings fit and nothing decides")
    unit: str | None = Field(None, description="unit column of that file (none: one unit)")
    group: str | None = Field(None, description="group column of that file")
    time: str | tuple[str, ...] | None = Field(
        None, description="time column of that file, or several that are joined: [date, time], [year, month, day, hour]"
    )
    part: str | None = Field(
        None,
        description="column that says whether a unit is train, validation or test; needs data.split.by=official",
    )
    censored: str | None = Field(
        None, description="column that is 1 in units that had not failed at their last row (remaining life), else 0"
    )
    task: TaskName | None = Field(None, description="what is predicted; default: the source's own task")
    targets: tuple[str, ...] = Field((), description="target columns; default: the source's own")
    positive: str | None = Field(
        None, description="of two classes the positive one, as the table writes it; default: the rarer one"
    )
    features: tuple[str, ...] = Field((), description="input features; default: all")
    known_ahead: tuple[str, ...] = Field(
        (), description="features whose later values are known when a forecast is made: a promotion, a planned load"
    )
    categories: tuple[str, ...] = Field(
        (), description="input columns whose values are words, also where they are written as numbers"
    )
    static: StaticConfig = Field(default_factory=StaticConfig)
    covariates: CovariatesConfig = Field(default_factory=CovariatesConfig)
    target_cap: float | None = Field(None, description="largest target value in training (RUL: 125)")
    caster: CasterConfig = Field(default_factory=CasterConfig)
    split: SplitConfig = Field(default_factory=SplitConfig)
    windows: WindowsConfig = Field(default_factory=WindowsConfig)
    impute: Literal["none", "forward", "interpolate", "mean"] = Field("none", description="fill of missing values")
    missing_indicator: bool = Field(False, description="one more channel per feature: 1 where it was missing")
    scale: Literal["zscore", "minmax", "robust", "none"] = Field("zscore", description="fitted on train only")
    conditions: int = Field(0, ge=0, description="operating conditions to scale separately (0: one)")
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    balance: Literal["none", "oversample"] = Field("none", description="oversample: equal classes in a batch")
    shuffle: bool = Field(True, description="deal the training samples anew for every epoch")
    bucket: Count = Field(50, description="pad batches to a multiple of this many steps (few graph shapes)")
    cache: bool = Field(True, description="keep the series in memory; False streams them from a store on disk")
    prefetch: Count = Field(2, description="batches prepared ahead")
    shards: ShardsConfig = Field(default_factory=ShardsConfig)

    @field_validator("names")
    @classmethod
    def _names_of_columns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        doubled = [name for name in names if not name.strip() or names.count(name) > 1]
        if doubled:
            raise ValueError(f"names must be different and not empty, got {doubled[0]!r} twice or blank")
        return names

    @model_validator(mode="after")
    def _positive_of_a_table(self) -> DataConfig:
        check_source(self.source, {name: getattr(self, name) for name in FIELDS})
        if self.positive is not None and self.source not in ("table", "sql"):
            raise ValueError(f"positive is read by source 'table' only, but source is '{self.source}'")
        return self

    @field_validator("time")
    @classmethod
    def _one_column_is_a_name(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if not isinstance(value, tuple):
            return value
        if not value or len(set(value)) < len(value):
            raise ValueError(f"time names the columns that are joined into one stamp, each once, got {list(value)}")
        return value[0] if len(value) == 1 else value

    @field_validator("wide", mode="before")
    @classmethod
    def _wide_by_one_word(cls, value: object) -> object:
        """``true``, ``columns`` or ``rows`` for the shape alone; a mapping without a shape means columns."""
        if isinstance(value, dict):
            return value if "shape" in value or not value else {"shape": "columns", **value}
        if isinstance(value, (bool, str)) or value is None:
            words = {"true": "columns", "false": None, "none": None, "null": None}
            return {"shape": words.get(str(value).lower(), value)}
        return value

    @field_validator("url", mode="after")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        return value and keep_sql_password(value)

    @field_validator("validation_path", "test_path", mode="before")
    @classmethod
    def _one_file_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _part_of_a_table(self) -> DataConfig:
        if self.part is None:
            return self
        if self.source not in ("table", "sql"):
            raise ValueError(f"part is read by source 'table' only, but source is '{self.source}'")
        if self.split.by != "official":
            raise ValueError(f"part needs data.split.by=official, got {self.split.by}")
        if self.test_path or not self.cache:
            raise ValueError("part needs data.cache=true and no data.test_path: the parts of one file, held in memory")
        return self

    @model_validator(mode="after")
    def _censored_of_a_table(self) -> DataConfig:
        if self.censored is None:
            return self
        if self.source != "table":
            raise ValueError(f"censored is read by source 'table' only, but source is '{self.source}'")
        if self.test_path or not self.cache:
            raise ValueError("censored needs data.cache=true and no data.test_path: the units of one file, in memory")
        return self

    @model_validator(mode="after")
    def _parts_of_their_own(self) -> DataConfig:
        if not self.validation_path and not self.test_path:
            return self
        name = "test_path" if self.test_path else "validation_path"
        if self.source != "table":
            raise ValueError(f"{name} is for source 'table', got data.source '{self.source}'")
        if self.split.by != "official":
            raise ValueError(f"{name} needs data.split.by=official, got {self.split.by}")
        if not self.test_path:
            raise ValueError("validation_path needs test_path too: with data.split.by=official the test part is a file")
        if not self.cache:
            raise ValueError(f"{name} needs data.cache=true: several files are joined in memory")
        if self.validation_path and self.split.folds:
            raise ValueError("validation_path names the validation part, so data.split.folds must be 0")
        return self
