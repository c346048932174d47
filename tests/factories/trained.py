"""Small networks trained from data to served version and record, once for all modules (``shared.py``)."""

from __future__ import annotations

import functools
from typing import Any

from tests.factories.experiments import caster_tree, co2_tree, placed
from tests.factories.shared import shared

CASTER = caster_tree(
    240,
    140,
    **{
        "name": "small",
        "data.split": {"by": "group", "validation": 0.2, "test": 0.2},
        "data.windows.length": 150,
        "data.bucket": 150,
        "model": {"family": "cnn_lstm", "filters": 8, "units": 8, "layers": 1, "conv_layers": 2, "hidden_dims": [4]},
        "training": {"epochs": 2, "batch_size": 32},
        "evaluation": {"calibration": "platt", "threshold": "recall", "recall": 0.8},
        "evaluation.targets": {"auc_roc": 0.88, "inference_ms": 50.0},
    },
)
CO2 = co2_tree(
    26,
    held_out=(208, 208),
    **{
        "data.impute": "forward",
        "model": {"family": "lstm", "units": 8, "layers": 1, "hidden_dims": [4]},
        "evaluation": {"conformal": "adaptive", "coverage": 0.8, "baseline": False},
        "training": {"epochs": 2, "batch_size": 64},
    },
)


@functools.cache
def trained_caster() -> Any:
    """The ``Run`` of a classifier of casts: calibrated, its threshold for recall 0.8, served and recorded in MLflow."""
    return _trained("caster", CASTER, recorded=True)


@functools.cache
def trained_co2() -> Any:
    """The ``Run`` of a forecaster of two weeks with intervals that follow the truths; served."""
    return _trained("weekly", CO2)


def _trained(name: str, tree: dict[str, Any], **options: Any) -> Any:
    from keras_seq.pipeline.train import train

    return shared(
        f"trained-{name}", tree, lambda folder: train(placed(tree, folder, served=True, **options), quiet=True)
    )
