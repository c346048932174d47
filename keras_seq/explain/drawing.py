"""What all pictures of explanations share: colours, panels, names with units, saving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_seq import drawing
from keras_seq.drawing import BLUE, GREEN, GREY, ORANGE, RED, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "RED", "amount", "label", "panels", "save", "whole_steps"]

LINES = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#F0E442", GREY)
UP, DOWN = RED, BLUE  # raises, lowers
DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"  # readable with colour-vision deficiency
LONGEST = 28  # characters of a name on an axis


def panels(count: int, *, columns: int = 2, width: float = 4.6, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure of panels and its axes, somewhat wider than those of other pictures: names of sensors are long."""
    return drawing.panels(count, columns=columns, width=width, height=height)


def whole_steps(*axes: Axis) -> None:
    """Ticks of these ``axis.xaxis`` or ``axis.yaxis`` at whole steps: nothing happens at step 2.5."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(6, integer=True))


def label(name: str, unit: str = "") -> str:
    """``name [unit]``, cut in the middle where it is too long for an axis."""
    if len(name) > LONGEST:
        half = (LONGEST - 3) // 2
        name = f"{name[:half]}...{name[-half:]}"
    return f"{name} [{unit}]" if unit else name


def amount(output: str, unit: str = "") -> str:
    """The axis of attributions."""
    return f"attribution to {output}" + (f" [{unit}]" if unit else "")
