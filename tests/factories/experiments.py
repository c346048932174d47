"""Small configurations of the embedded data sets, one place for all tests that build or train models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_seq import config


def caster_tree(sequences: int = 160, longest: int = 120, **dotted: Any) -> dict[str, Any]:
    """Casts of four a heat, padded to ``longest`` steps; dotted names change single fields."""
    tree = {
        "name": "caster",
        "data": {
            "source": "caster",
            "caster": {"sequences": sequences, "heats": sequences // 4, "min_length": 100, "max_length": longest},
            "split": {"by": "group", "validation": 0.25, "test": 0.4},
            "windows": {"length": longest},
            "bucket": longest,
        },
        "model": {"family": "cnn_lstm", "filters": 4, "units": 4, "layers": 1, "conv_layers": 1, "hidden_dims": []},
    }
    return config.override(tree, dotted)


def co2_tree(length: int = 20, horizon: int = 2, *, held_out: tuple[int, int] = (52, 104), **dotted: Any) -> dict:
    """Windows of the weekly series; ``held_out`` rows of validation and test."""
    tree = {
        "name": "co2",
        "data": {
            "source": "co2",
            "split": {"by": "time", "validation": held_out[0], "test": held_out[1]},
            "windows": {"mode": "sliding", "length": length, "horizon": horizon},
        },
        "model": {"family": "lstm", "units": 4, "layers": 1, "hidden_dims": []},
    }
    return config.override(tree, dotted)


def placed(
    tree: dict[str, Any],
    folder: Path,
    *,
    runs: str = "runs",
    served: bool = False,
    recorded: bool = False,
    **changes: Any,
) -> config.Experiment:
    """The experiment with all it writes below ``folder``: runs, and where wanted served versions and the record."""
    places = {
        "output": str(folder / runs),
        "export.saved_model": served,
        "export.saved_models": str(folder / "saved_models"),
        "tracking.backend": "mlflow" if recorded else "none",
        "tracking.uri": f"sqlite:///{folder}/mlflow.db",
    }
    return config.replace(config.from_dict(config.override(tree, places)), **changes)
