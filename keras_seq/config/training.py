"""The ``training`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from keras_seq.config.base import Count, NonNegative, Positive, Section, Share


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
