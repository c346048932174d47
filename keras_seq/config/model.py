"""The ``model`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from keras_seq.config.base import ConfigSection, Count, NonNegative, Positive, Share
from keras_seq.config.forecasting import ArimaConfig


class HistoryConfig(ConfigSection):
    """Causal channels computed inside the graph from the unit's past; constant-size state."""

    ewm: tuple[float, ...] = Field((), description="decays of exponentially weighted means, each in (0, 1)")
    means: tuple[Count, ...] = Field((), description="lengths of moving means, steps (state: that many rows)")
    running_mean: bool = Field(False, description="mean of all steps so far")
    baseline: int = Field(0, ge=0, description="deviation from the unit's own first n steps (0: off)")
    elapsed: NonNegative = Field(0.0, description="channel step/this (0: off)")

    @model_validator(mode="after")
    def _decays(self) -> HistoryConfig:
        for decay in self.ewm:
            if not 0.0 < decay < 1.0:
                raise ValueError(f"ewm must hold decays between 0 and 1, got {decay}")
        return self


class TreesConfig(ConfigSection):
    """Forests and boosted trees; what is left open takes the family's own value (docs/baselines.md)."""

    iterations: Count | None = Field(None, description="boosting rounds, or trees of a forest")
    learning_rate: Positive | None = Field(None, description="share of each boosting round (usual: 0.02-0.1)")
    leaves: int | None = Field(None, ge=2, le=65536, description="most leaves of a tree")
    depth: Count | None = Field(None, description="most levels of a tree")
    min_leaf: Count | None = Field(None, description="fewest training rows in a leaf")
    l2: NonNegative | None = Field(None, description="penalty on leaf values (boosting)")
    columns: float | None = Field(None, gt=0.0, le=1.0, description="share of features tried at a split")
    rows: float | None = Field(None, gt=0.0, le=1.0, description="share of rows each tree of a forest sees")
    most_rows: Count = Field(300_000, description="training rows taken at most, by chance")


class RocketConfig(ConfigSection):
    """Kernels of ``minirocket`` (docs/baselines.md)."""

    features: int = Field(9996, ge=84, le=100_000, description="shares of kernels, in multiples of 84")
    dilations: int = Field(32, ge=1, le=128, description="most dilations of a kernel")
    levels: bool = Field(
        True, description="also mean, deviation, last, largest and smallest value of channels, if left-out rows gain"
    )


class ModelConfig(ConfigSection):
    """Architecture; every family reads the fields that concern it."""

    family: str = Field("cnn_lstm", description="python -m keras_seq lists them")
    variant: Literal["standard", "bidirectional", "deep", "lightweight"] | None = Field(
        None, description="named sizes of the family; explicit fields win"
    )
    units: int = Field(64, ge=1, le=4096, description="width of the sequence layers (usual: 32-256)")
    layers: int = Field(2, ge=1, le=32, description="sequence layers (usual: 1-4)")
    bidirectional: bool = Field(False, description="read every sequence from both ends")
    input_dense: int = Field(0, ge=0, description="tanh layer in front of the sequence layers (0: none)")
    input_noise: NonNegative = Field(0.0, description="Gaussian noise on scaled inputs in training")
    normalisation: Literal["none", "batch", "layer", "instance"] = Field("none", description="of the scaled inputs")
    history: HistoryConfig = Field(default_factory=HistoryConfig)
    dropout: Share = Field(0.2, description="between sequence layers")
    pooling: Literal["last", "mean", "max", "sum", "segments", "attention"] = Field(
        "last", description="from steps to one vector; segments: means of 8 phases"
    )
    hidden_dims: tuple[Count, ...] = Field((32,), description="dense layers of the head")
    head_dropout: Share = Field(0.0, description="between dense layers of the head")
    activation: Literal["relu", "tanh", "gelu", "silu", "elu"] = Field(
        "relu", description="of dense layers and convolutions"
    )
    filters: Count = Field(64, description="convolution filters (cnn_lstm, tcn, resnet, inception_time)")
    conv_layers: int = Field(2, ge=1, le=8, description="convolutions, each with pooling (cnn_lstm)")
    kernel_size: int = Field(
        5, ge=1, le=31, description="width of a convolution, steps (inception_time: 2, 4, 8 times)"
    )
    pool_size: Count = Field(2, description="pooling between convolutions (1: none)")
    stem: int = Field(0, ge=0, le=8, description="convolutions with pooling in front of a tcn's blocks")
    heads: int = Field(4, ge=1, le=32, description="attention heads")
    positional: Literal["none", "sinusoidal", "learned"] = Field(
        "sinusoidal", description="how attention knows the place of a step"
    )
    ff_dim: Count = Field(128, description="feed-forward width of a transformer or tsmixer block")
    features: Literal["auto", "history", "window", "recent", "last", "lags"] = Field(
        "auto",
        description="what trees and ridge read: history channels, statistics of the whole window, changes and means "
        "of sliding windows, the last row, or a forecast's own past step by step",
    )
    length_feature: bool = Field(True, description="window statistics include the length")
    trees: TreesConfig = Field(default_factory=TreesConfig)
    rocket: RocketConfig = Field(default_factory=RocketConfig)
    penalty: NonNegative | None = Field(
        None, description="of ridge, logistic regression and minirocket (none: chosen on train)"
    )
    quantiles: tuple[float, ...] = Field((), description="predict these quantiles instead of the mean")
    skip: Literal["none", "linear"] = Field(
        "none", description="forecasts: add a linear map from the scaled window to the horizon (NLinear)"
    )
    channel_independent: bool = Field(
        False, description="forecasts: one model shared by all columns, each forecast from its own past"
    )
    patch: int = Field(
        0, ge=0, description="forecasts: so many steps become one step of the body (0: off; patchtst: 16)"
    )
    arima: ArimaConfig = Field(default_factory=ArimaConfig)
    network: Literal["lstm", "gru", "bilstm", "tcn"] = Field("lstm", description="hybrid: what reads the innovations")
    recent: Count = Field(52, description="hybrid: steps the network reads")
    hybrid: Literal["residual", "weighted", "stacked"] = Field(
        "residual", description="hybrid: SARIMAX plus a network on its innovations; or the two weighed, or stacked"
    )

    @model_validator(mode="after")
    def _quantiles_rise(self) -> ModelConfig:
        if any(not 0 < q < 1 for q in self.quantiles) or list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles must rise within (0, 1), got {list(self.quantiles)}")
        return self
