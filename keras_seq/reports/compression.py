"""Picture of the sensitivity of each layer to pruning and rounding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_seq.drawing import GREY, panels, save


def draw_sensitivity(sensitivity: Mapping[str, Any], path: Path) -> Path:
    """Loss of the metric by share of zeros and with int8 kernels, one layer changed at a time.

    Args:
        sensitivity: ``Sensitivity.to_dict()``.
        path: of the PNG.
    """
    layers = sensitivity["layers"]
    figure, (lines, bars) = panels(2)
    for layer in layers:
        shares = [float(share) for share in layer["pruned"]]
        losses = [100 * loss for loss in layer["pruned"].values()]
        lines.plot(shares, losses, marker="o", label=f"{layer['layer']} ({layer['weights']})")
    lines.set(xlabel="share of zeros in this layer", ylabel=f"loss of {sensitivity['metric']} [%]", yscale="symlog")
    lines.legend(fontsize=8)
    bars.barh([layer["layer"] for layer in layers], [100 * layer["int8"] for layer in layers], color=GREY)
    bars.set(xlabel=f"loss of {sensitivity['metric']} with int8 kernels [%]")
    return save(figure, path, "What each layer bears, without fine-tuning")
