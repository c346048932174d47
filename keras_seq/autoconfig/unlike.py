"""Whether the units of a table differ in scale: how far apart deviations and levels of a target lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

UNLIKE = 5.0  # times between small and large units, from which on they are not scaled together
FEWEST = 8  # known values of a unit that count
TAIL = 0.05  # share of the smallest and of the largest units that is left out
ROUNDING = 1e-7  # of the level; a smaller deviation is none


def unit_ratio(head: pd.DataFrame, unit: str | None, targets: tuple[str, ...]) -> float:
    """How many times larger large units are than small ones, by deviation or level, whichever differs more.

    Args:
        head: first rows of the table.
        unit: its unit column; None: there is one unit.
        targets: the worst of them counts.

    Returns:
        At least 1; units that never vary have no deviation and are left out of it.
    """
    if unit is None:
        return 1.0
    return max((_ratio(head, unit, target) for target in targets if head[target].dtype.kind in "fiu"), default=1.0)


def _ratio(head: pd.DataFrame, unit: str, target: str) -> float:
    found = head.groupby(unit, sort=False)[target].agg(["mean", "std", "count"])
    found = found[found["count"] >= FEWEST]
    level = found["mean"].abs().to_numpy(np.float64)
    deviation = found["std"].to_numpy(np.float64)
    varies = deviation > np.maximum(ROUNDING * level, np.finfo(np.float32).tiny)
    # a level counts where it is more than noise about 0
    ratios = [_apart(deviation[varies]), _apart(level[varies & (level > deviation)])]
    return max(ratios)


def _apart(sizes: np.ndarray) -> float:
    if len(sizes) < 2:
        return 1.0
    small, large = np.quantile(sizes, (TAIL, 1 - TAIL)) if len(sizes) > 1 / TAIL else (sizes.min(), sizes.max())
    return float(large / small)
