"""The one experiment tree: frozen, validated, shared by training, tuning, export and serving.

``Experiment`` <-> YAML file <-> command line. An unknown key is an error that names the nearest
known one. Importing this module imports neither TensorFlow nor pandas.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from keras_seq.errors import ConfigError, nearest

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0.0)]

Task = Literal["regression", "binary", "multiclass", "forecast"]


class Section(BaseModel):
    """A frozen branch of the tree; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)


class CasterConfig(Section):
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


class SplitConfig(Section):
    """Which units or times are train, validation and test; never which windows."""

    by: Literal["unit", "group", "stratified", "time", "official"] = Field(
        "unit",
        description="unit: whole units; group: whole groups of units; stratified: units (of whole groups) "
        "with equal class shares; time: one cut in time; official: the test units that come with the data",
    )
    validation: Amount = Field(0.15, description="share (< 1) or count (>= 1) of units, or of time steps")
    test: Amount = Field(0.15, description="share (< 1) or count (>= 1); ignored when by=official")
    folds: int = Field(0, ge=0, description="cross-validation folds over the non-test units (0: single split)")
    fold: int = Field(0, ge=0, description="which fold is validation")
    seed: int = Field(0, description="seed of the split; the same for every model compared")

    @model_validator(mode="after")
    def _fold_exists(self) -> SplitConfig:
        if self.folds == 1:
            raise ValueError("folds must be 0 (single split) or at least 2, got 1")
        if self.folds and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds={self.folds}, got {self.fold}")
        return self


class WindowsConfig(Section):
    """How a unit's series becomes samples."""

    mode: Literal["whole", "sliding", "last"] = Field(
        "whole", description="whole sequences, sliding windows, or the last window of each unit"
    )
    length: Count = Field(500, description="window length, or the longest sequence kept (its last steps)")
    stride: Count = Field(1, description="steps between the starts of two sliding windows")
    horizon: int = Field(0, ge=0, description="steps ahead to forecast; 0: the target of the window itself")
    per_step: bool = Field(False, description="dense supervision: a target at every step")
    pad_short: bool = Field(True, description="post-pad units shorter than the window (False: an error)")


class AugmentConfig(Section):
    """Changes made to training samples only; 0 switches one off. Units: feature deviations or shares."""

    jitter: NonNegative = Field(0.0, description="deviation of added noise, in feature deviations")
    scaling: NonNegative = Field(0.0, description="deviation of a factor per feature around 1")
    time_warp: Share = Field(0.0, description="largest local change of speed")
    window_slice: Share = Field(0.0, description="largest share of steps cut away")
    mixup: NonNegative = Field(0.0, description="alpha of mixup's Beta distribution")
    minority_only: bool = Field(False, description="only the rarest class")


class DataConfig(Section):
    """From where the series come and how they are cut, mended, scaled and fed."""

    source: str = Field("caster", description="known source (python -m keras_seq.data lists them) or 'table'")
    subset: str | None = Field(None, description="part of a source: FD001, sp500, ...")
    home: str | None = Field(None, description="data home; default KERAS_SEQ_DATA or ~/.cache/keras_seq")
    path: str | None = Field(None, description="CSV or Parquet file of source 'table'")
    schema_file: str | None = Field(None, description="YAML or JSON schema of that file")
    unit: str | None = Field(None, description="unit column of that file (none: one unit)")
    group: str | None = Field(None, description="group column of that file")
    time: str | None = Field(None, description="time column of that file")
    task: Task | None = Field(None, description="what is predicted; default: the source's own task")
    targets: tuple[str, ...] = Field((), description="target columns; default: the source's own")
    features: tuple[str, ...] = Field((), description="input features; default: all")
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
    shuffle: bool = True
    bucket: Count = Field(50, description="pad batches to a multiple of this many steps (few graph shapes)")
    cache: bool = Field(True, description="keep the series in memory; False streams them from a store on disk")
    prefetch: Count = Field(2, description="batches prepared ahead")


class HistoryConfig(Section):
    """Causal channels computed inside the graph from the unit's past; constant-size state."""

    ewm: tuple[float, ...] = Field((), description="decays of exponentially weighted means, each in (0, 1)")
    running_mean: bool = Field(False, description="mean of all steps so far")
    baseline: int = Field(0, ge=0, description="deviation from the unit's own first n steps (0: off)")
    elapsed: NonNegative = Field(0.0, description="channel step/this (0: off)")

    @model_validator(mode="after")
    def _decays(self) -> HistoryConfig:
        for decay in self.ewm:
            if not 0.0 < decay < 1.0:
                raise ValueError(f"ewm must hold decays between 0 and 1, got {decay}")
        return self


class ModelConfig(Section):
    """Architecture; every family reads the fields that concern it."""

    family: str = Field("cnn_lstm", description="python -m keras_seq lists them")
    variant: Literal["standard", "bidirectional", "deep", "lightweight"] | None = Field(
        None, description="named sizes of the family; explicit fields win"
    )
    units: int = Field(64, ge=1, le=4096, description="width of the sequence layers (usual: 32-256)")
    layers: int = Field(2, ge=1, le=32, description="sequence layers (usual: 1-4)")
    bidirectional: bool = False
    input_dense: int = Field(0, ge=0, description="tanh layer in front of the sequence layers (0: none)")
    input_noise: NonNegative = Field(0.0, description="Gaussian noise on scaled inputs in training")
    normalisation: Literal["none", "batch", "layer", "instance"] = Field("none", description="of the scaled inputs")
    history: HistoryConfig = Field(default_factory=HistoryConfig)
    dropout: Share = Field(0.2, description="between sequence layers")
    pooling: Literal["last", "mean", "max", "attention"] = Field("last", description="from steps to one vector")
    hidden_dims: tuple[Count, ...] = Field((32,), description="dense layers of the head")
    head_dropout: Share = Field(0.0, description="between dense layers of the head")
    activation: Literal["relu", "tanh", "gelu", "silu", "elu"] = "relu"
    filters: Count = Field(64, description="convolution filters (cnn_lstm, tcn)")
    conv_layers: int = Field(2, ge=1, le=8)
    kernel_size: int = Field(5, ge=1, le=31)
    pool_size: Count = Field(2, description="pooling between convolutions (1: none)")
    stem: int = Field(0, ge=0, le=8, description="convolutions with pooling in front of a tcn's blocks")
    heads: int = Field(4, ge=1, le=32, description="attention heads")
    positional: Literal["none", "sinusoidal", "learned"] = "sinusoidal"
    ff_dim: Count = Field(128, description="feed-forward width of a transformer block")
    quantiles: tuple[float, ...] = Field((), description="predict these quantiles instead of the mean")

    @model_validator(mode="after")
    def _quantiles_rise(self) -> ModelConfig:
        if any(not 0 < q < 1 for q in self.quantiles) or list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles must rise within (0, 1), got {list(self.quantiles)}")
        return self


class TrainingConfig(Section):
    """Optimisation, its safety nets and the device."""

    epochs: Count = 40
    batch_size: Count = 64
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: Positive = 2e-3
    weight_decay: NonNegative = 1e-4
    clip_norm: NonNegative = Field(1.0, description="global gradient norm (0: off)")
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    warmup: NonNegative = Field(0.0, description="epochs of linear warm-up")
    loss: Literal["auto", "mse", "mae", "huber", "phm08", "quantile", "bce", "weighted_bce", "focal", "cce"] = Field(
        "auto", description="auto: huber, quantile, bce or cce by task"
    )
    huber_delta: Positive = Field(1.0, description="in target deviations")
    focal_gamma: NonNegative = 2.0
    class_weight: Literal["none", "balanced"] = "none"
    label_smoothing: Share = 0.0
    monitor: str = Field("auto", description="validation metric watched; auto: auc_pr if binary, else loss")
    patience: Count = Field(8, description="epochs without improvement before stopping")
    keep: Literal["best", "last"] = Field(
        "best", description="weights of the best epoch, or of the last (validation then decides nothing)"
    )
    device: str = Field("auto", description="auto, cpu, gpu or gpu:N")
    mixed_precision: Literal["none", "float16", "bfloat16"] = "none"
    jit: bool = Field(True, description="compile the training step with XLA where that is faster")
    fast_lstm: bool = Field(True, description="own CPU kernel for LSTM layers where it applies")
    rematerialise: bool = Field(False, description="recompute activations (long sequences, less memory)")
    steps_per_execution: Count = 16
    deterministic: bool = Field(False, description="bit-equal runs; slower")
    resume: bool = Field(True, description="go on from an interrupted run in the same output folder")
    backup_seconds: NonNegative = Field(10.0, description="least time between two backups")
    warm_start: str | None = Field(None, description="bundle to take weights from, by layer name")
    freeze: tuple[str, ...] = Field((), description="layer name patterns that do not train")


class TargetsConfig(Section):
    """What the run should reach; the summary says which are met."""

    auc_roc: float = 0.88
    auc_pr: float = 0.75
    inference_ms: Positive = 50.0
    memory_gb: Positive = 4.0
    size_mb: Positive = 50.0
    training_minutes: Positive = 30.0


class EvaluationConfig(Section):
    """How predictions are judged."""

    at: Literal["all", "last"] = Field("all", description="test windows/steps judged: all or each unit's last")
    min_steps: int = Field(0, ge=0, description="steps of a unit that must have been seen before it is judged")
    threshold: Literal["f1", "half"] = Field("f1", description="binary threshold: best F1 on validation, or 0.5")
    baseline: bool = Field(True, description="train the cheap baseline on the same split")
    targets: TargetsConfig = Field(default_factory=TargetsConfig)


class TrackingConfig(Section):
    """Where runs are recorded."""

    backend: Literal["mlflow", "none"] = "mlflow"
    uri: str = Field("sqlite:///mlflow.db", description="MLflow tracking store")
    experiment: str | None = Field(None, description="MLflow experiment; default: the experiment's name")
    log_model: bool = True
    tensorboard: bool = False


class ExportConfig(Section):
    """What a server gets."""

    saved_models: str = Field("saved_models", description="folder of model base paths")
    saved_model: bool = Field(True, description="write saved_models/<name>/<version> after training")
    version: int | None = Field(None, ge=1, description="version number; default: the next one")


class Experiment(Section):
    """Everything that defines a run."""

    name: str = Field("caster", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(0, ge=0)
    output: str = Field("runs", description="folder of runs; a bundle lands in <output>/<name>")
    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)


def from_dict(tree: dict[str, Any]) -> Experiment:
    """Validate a tree of plain values.

    Raises:
        ConfigError: names the key by its dotted path, the value received and the nearest known key.
    """
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_paragraph(error)) from None


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Experiment:
    """Read an experiment from YAML and set dotted ``overrides`` (``{"model.units": "128"}``)."""
    path = Path(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigError(f"Config file '{path}' does not exist; see configs/ for the ones shipped.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Config file '{path}' cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"Config file '{path}' is not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"Config file '{path}' must hold a mapping of sections, got {type(tree).__name__}.")
    return from_dict(override(tree, overrides or {}))


def override(tree: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return ``tree`` with dotted keys set; text values are read as YAML (``"[32, 16]"``, ``"null"``)."""
    result: dict[str, Any] = _copy(tree)
    for dotted, value in overrides.items():
        *parents, leaf = dotted.split(".")
        branch = result
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise ConfigError(f"Option '{dotted}' goes below '{parent}', which is a value, not a section.")
        branch[leaf] = _read(value)
    return result


def to_dict(experiment: Experiment) -> dict[str, Any]:
    """Plain values of the whole tree, defaults included."""
    return experiment.model_dump(mode="json")


def to_yaml(experiment: Experiment) -> str:
    """YAML text that ``load`` reads back to an equal experiment."""
    return yaml.safe_dump(to_dict(experiment), sort_keys=False)


def replace(experiment: Experiment, **dotted: Any) -> Experiment:
    """A changed copy: ``replace(e, model__units=128)`` or ``replace(e, **{"model.units": 128})``."""
    changes = {key.replace("__", "."): value for key, value in dotted.items()}
    given = experiment.model_dump(mode="json", exclude_unset=True)  # what was left open stays open to a variant
    return from_dict(override(given, changes))


def fields(section: type[Section] = Experiment, prefix: str = "") -> dict[str, Any]:
    """Every leaf of the tree as ``{"model.units": FieldInfo}``, in the order of declaration."""
    leaves: dict[str, Any] = {}
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            leaves.update(fields(kind, f"{prefix}{name}."))
        else:
            leaves[prefix + name] = info
    return leaves


def _copy(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in tree.items()}


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    if isinstance(read, str):  # YAML 1.1 reads 1e-3 as text
        try:
            return float(read)
        except ValueError:
            return value
    return read


def _one_paragraph(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        path = ".".join(str(key) for key in item["loc"])
        if item["type"] == "extra_forbidden":
            *parents, leaf = [str(key) for key in item["loc"]]
            parts.append(f"Unknown option '{path}'{_hint(leaf, '.'.join(parents))}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            got = f" Got {item['input']!r}." if not isinstance(item["input"], dict) else ""
            parts.append(f"Option '{path}': {message}.{got}" if path else f"{message}.{got}")
    return " ".join(parts)


def _hint(leaf: str, section: str) -> str:
    leaves = fields()
    prefix = f"{section}." if section else ""
    siblings = {key.removeprefix(prefix).split(".")[0] for key in leaves if key.startswith(prefix)}
    elsewhere = [key for key in leaves if key.rsplit(".", 1)[-1] == leaf]
    if elsewhere and not difflib.get_close_matches(leaf, siblings, n=1, cutoff=0.75):
        return f"; did you mean '{elsewhere[0]}'?"
    return nearest(leaf, siblings)
