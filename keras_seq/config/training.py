"""The ``training`` section."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from keras_seq.config.base import ConfigSection, Count, NonNegative, Positive, Share

_LOSSES = Path(__file__).parents[1] / "training" / "losses.py"  # read as text: importing it would load Keras
_ENTRY = re.compile(r'^    "(\w+)": lambda ', re.MULTILINE)
if TYPE_CHECKING:
    Loss = str
else:
    Loss = Literal[("auto", *dict.fromkeys(_ENTRY.findall(_LOSSES.read_text(encoding="utf-8"))))]


class TrainingConfig(ConfigSection):
    """Optimisation, its safety nets and the device."""

    epochs: Count = Field(40, description="at most; see patience")
    batch_size: Count = Field(64, description="samples a step")
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="adamw: with weight_decay")
    learning_rate: Positive = Field(2e-3, description="at its highest, after warm-up")
    weight_decay: NonNegative = Field(1e-4, description="of adamw")
    clip_norm: NonNegative = Field(1.0, description="global gradient norm (0: off)")
    schedule: Literal["constant", "cosine", "plateau"] = Field(
        "constant", description="of the learning rate; plateau: lowered when validation stops improving"
    )
    warmup: NonNegative = Field(0.0, description="epochs of linear warm-up")
    loss: Loss = Field("auto", description="auto: huber, quantile, bce or cce by task")
    huber_delta: Positive = Field(1.0, description="in target deviations")
    loss_scale: Literal["none", "window", "season"] = Field(
        "none",
        description="forecasts: what errors are counted in: the deviation of the train part, of the window's own past, "
        "or the window's seasonal naive error (as MASE), so that large series do not own the loss",
    )
    focal_gamma: NonNegative = Field(2.0, description="of loss=focal: how much easy samples count less")
    class_weight: Literal["none", "balanced"] = Field("none", description="balanced: each class weighs the same")
    class_weights: tuple[Positive, ...] = Field(
        (), description="weight of each class, in the order of the classes; instead of class_weight=balanced"
    )
    label_smoothing: Share = Field(0.0, description="share of each target that is spread over the classes")
    monitor: str = Field("auto", description="validation metric watched; auto: auc_pr if binary, else loss")
    patience: Count = Field(8, description="epochs without improvement before stopping")
    keep: Literal["best", "last"] = Field(
        "best", description="weights of the best epoch, or of the last (validation then decides nothing)"
    )
    device: str = Field("auto", description="auto, cpu, gpu or gpu:N")
    strategy: Literal["auto", "none", "mirrored", "multi_worker"] = Field(
        "auto", description="one process, the devices of a machine, or TF_CONFIG's workers; auto: workers if it has any"
    )
    worker_wait: Positive = Field(600.0, description="seconds to wait for the other workers at the start")
    mixed_precision: Literal["none", "float16", "bfloat16"] = Field(
        "none", description="type of computation; weights stay float32"
    )
    jit: bool = Field(True, description="compile the training step with XLA where that is faster")
    fast_lstm: bool = Field(True, description="own CPU kernels for LSTM and GRU layers where they apply")
    rematerialise: bool = Field(False, description="recompute activations (long sequences, less memory)")
    steps_per_execution: Count = Field(16, description="training steps in one call of the graph")
    deterministic: bool = Field(False, description="bit-equal runs; slower")
    resume: bool = Field(True, description="go on from an interrupted run in the same output folder")
    backup_seconds: NonNegative = Field(10.0, description="least time between two backups")
    profile: str | None = Field(None, description="FIRST-LAST: batches traced for TensorBoard, such as 20-30")
    warm_start: str | None = Field(None, description="bundle to take weights from, by layer name")
    freeze: tuple[str, ...] = Field((), description="layer name patterns that do not train")

    @model_validator(mode="after")
    def _one_way_of_weights(self) -> TrainingConfig:
        if self.class_weights and self.class_weight != "none":
            raise ValueError(f"class_weights gives the weights, so class_weight must be none, got {self.class_weight}")
        return self

    @field_validator("profile")
    @classmethod
    def _first_and_last(cls, text: str | None) -> str | None:
        if text is None:
            return None
        match = re.fullmatch(r"([1-9]\d{0,8})-([1-9]\d{0,8})", text)
        if not match or int(match[2]) < int(match[1]):
            raise ValueError("must be FIRST-LAST, two batches counted from 1, such as 20-30")
        return text

    @property
    def traced(self) -> tuple[int, int]:
        """First and last batch of ``profile``, counted from 1; ``(0, 0)`` without one."""
        first, _, last = (self.profile or "0-0").partition("-")
        return int(first), int(last)
