"""Interactive charts in a page of their own: plotly.js is packed into it once, and nothing is loaded from elsewhere.

A chart is a plain dict as plotly.js takes it (``{"data": [...], "layout": {...}}``). It is drawn when it comes into
view, so a page with many of them opens at once. The page's Content-Security-Policy names the hashes of its own two
scripts and forbids everything else: text from data could not run or load anything even if it were not escaped.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from keras_seq.errors import ConfigError
from keras_seq.reports.charts import Figure
from keras_seq.reports.html import NOTHING, asset, details, table

LOADER = asset("charts.js")


@functools.cache
def plotly_source() -> str:
    """The text of plotly.js as the installed plotly package has it.

    Raises:
        ConfigError: plotly is not installed.
    """
    from importlib.util import find_spec

    package = find_spec("plotly")
    folder = Path(package.origin).parent if package and package.origin else None
    if folder is None:
        raise ConfigError("Interactive charts need the package plotly; install it with 'pip install plotly'.")
    return (folder / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def policy() -> str:
    """Content-Security-Policy: our two scripts by hash, styles and pictures of the page itself, no network."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (LOADER, plotly_source())
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src 'none'; "
        "base-uri 'none'; form-action 'none'"
    )


def scripts() -> Markup:
    """plotly.js, packed, and what unpacks it and draws."""
    packed = base64.b64encode(gzip.compress(plotly_source().encode(), 9, mtime=0)).decode()
    library = Markup('<script type="application/octet-stream" id="plotly">{}</script>\n').format(packed)
    return library + Markup("<script>{}</script>\n").format(LOADER)


def chart(figure: Figure, key: str, *, alt: str, x: str = "", numbers: Markup = NOTHING) -> Markup:
    """A chart's place in the page, its figure as JSON, and its numbers as a folded table.

    Args:
        figure: ``{"data", "layout"}``; the layout's height is kept free for it.
        key: unique in the page; letters, digits and hyphens.
        alt: what it shows, below it and for who cannot see it; plain text.
        x: title of the column of x in a table of the chart's points; empty: no such table.
        numbers: HTML of a table instead.
    """
    numbers = points_table(figure, x) if x else numbers
    height, folded = figure["layout"].get("height", 360), details("Numbers of this chart", numbers)
    return Markup(
        '<figure><div class="chart" id="{key}" role="img" aria-label="{alt}" style="min-height:{height}px">'
        '<p class="waiting">The chart is drawn when it comes into view.</p></div>'
        '<script type="application/json" id="{key}-data">{figure}</script>'
        "<figcaption>{alt}</figcaption>{numbers}</figure>"
    ).format(key=key, alt=alt, height=height, figure=Markup(as_json(figure)), numbers=folded)


def points_table(figure: Figure, x: str, most: int = 400) -> Markup:
    """The points of a chart of lines, bars or marks as a table; empty where they are too many to be read."""
    rows: list[Sequence[Any]] = []
    for trace in figure["data"]:
        if "x" in trace and "y" in trace and trace.get("hoverinfo") != "skip":
            name = html.unescape(trace.get("name", ""))
            rows += [(place, name, value) for place, value in zip(trace["x"], trace["y"], strict=False)]
    return table([x, "series", "value"], rows) if 0 < len(rows) <= most else NOTHING


def as_json(value: object) -> str:
    """JSON that can stand inside a script element: NaN is null, and no ``<`` could end the element."""
    text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
