"""Every layer of ours is told by its configuration, under its registered name."""

from __future__ import annotations

import inspect

import keras

import keras_seq.models.assembly  # noqa: F401  (registers our layers)
from keras_seq.models.layer import ConfiguredLayer

SCALING = {"center": [[1.0]], "scale": [[2.0]], "fill": [1.0], "condition_features": [], "condition_scale": []}
ARGUMENTS = {  # beside the defaults
    "ExpandWords": {"words": [{"feature": 0, "codes": [1], "words": ["rain"]}], "features": 1},
    "FilterForecast": {"targets": 1, "time": 4, "horizon": 2, "every_origin": False},
    "FilterInnovations": {"targets": 1, "time": 4, "burn": 1, "deviation": [1.0]},
    "History": {"history": {"ewm": [0.5]}, "signals": 1},
    "HybridMembers": {"deviation": [1.0], "season": 3},
    "Interpolate": {"knots": 2, "steps": 4},
    "InstanceRestore": {"target_index": [0]},
    "Interval": {"width": [1.0], "bounds": [0.0, None]},
    "LagLinear": {"horizon": 2, "centre": "mean", "lags": 3},
    "LinearSkip": {"index": [0], "time": 4, "horizon": 2},
    "MonotoneQuantiles": {"levels": [0.1, 0.9]},
    "PlattScaling": {"slope": 2.0, "offset": 1.0},
    "Patches": {"patch": 4, "stride": 2},
    "Positions": {"kind": "learned", "time": 4},
    "Preprocess": {"scaling": SCALING | {"centroids": []}, "impute": "mean", "missing_indicator": True, "time": 4},
    "QuantileInterval": {"low": 0, "high": 2, "margin": 1.0},
    "RecentErrorMean": {"members": 2, "ages": [2], "horizon": 2, "target_index": [0], "deviation": [1.0]},
    "Rescale": {"mean": [1.0], "deviation": [2.0], "quantiles": True},
    "RocketFeatures": {"dilations": [1, 2], "counts": [3, 1], "alternate": True},
    "SelfAttention": {"heads": 2, "causal": True, "dropout": 0.5},
    "TableScaling": {"x": [0.0, 1.0], "y": [0.5, 1.0]},
    "TargetWindow": {"index": [0], "center": [1.0], "scale": [2.0], "time": 4, "repairs": 1},
    "TreeEnsemble": {"nodes": 3, "trees": 1, "depths": [1], "link": "sigmoid"},
    "WholeNumbers": {"units": [0.5, 1.0]},
    "WindowLevel": {"target_index": [0]},
    "WindowMoments": {"fill": [1.0, 0.0], "shared": [1]},
    "WindowRestore": {"target_index": [0]},
    "WindowSpread": {"target_index": [0]},
    "WindowFeatures": {"center": [1.0], "scale": [2.0], "length": False},
}
SHORT = {
    "patch": 2, "columns": 2, "steps": 2, "segments": 4, "pool_size": 2, "two_way": True, "signals": 2, "index": [0],
    "count": 2, "step": 0.5, "temperature": 2.0, "weights": [0.5, 0.5], "thresholds": [0.5], "link": "logit",
    "normalise": True, "kernel": 3, "rate": 2, "targets": 2, "causal": True, "scale": 2.0,
}  # fmt: skip


def layers() -> list[type[ConfiguredLayer]]:
    registered = keras.saving.get_custom_objects()
    return [kind for kind in registered.values() if isinstance(kind, type) and issubclass(kind, ConfiguredLayer)]


def test_the_configuration_tells_every_layer():
    assert len(layers()) > 35
    for kind in layers():
        names = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
        arguments = ARGUMENTS.get(kind.__name__, {name: SHORT[name] for name in names if name in SHORT})
        config = kind(**arguments, name="layer").get_config()
        assert {name: config[name] for name in arguments} == arguments, kind
        assert set(config) == {"name", "trainable", "dtype", *names}, kind
        assert kind.from_config(config).get_config() == config, kind
        assert keras.saving.get_registered_name(kind) == f"keras_seq>{kind.__name__}"
