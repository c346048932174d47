"""Charts as plain plotly figures: one look, colours that hold with colour-vision deficiency, labels that are escaped.

Every function returns ``{"data": [...], "layout": {...}}``. Series are told apart by dash or mark as well as by colour.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_seq.drawing import BLUE, GREEN, GREY, ORANGE, RED

Figure = dict[str, Any]
PURPLE = "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
GRID = "#e3e6ea"
BLUES = [[0, "#f4f8fb"], [1, "#0b3c5d"]]


def text(value: object) -> str:
    """Text from data as plotly shows it: its labels know some markup, so what looks like it is escaped."""
    return html.escape(str(value), quote=False)


def figure(data: list[dict[str, Any]], *, height: int = 360, **layout: Any) -> Figure:
    """Traces in the common look; ``layout`` adds to it."""
    base: dict[str, Any] = {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 36, "b": 48},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 12.5, "color": "#1b1e22"},
        "colorway": list(COLOURS),
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }
    for name in layout:
        if name[1:5] == "axis" and layout[name].get("type") == "log":
            layout[name] = (
                log_ticks([value for trace in data for value in _numbers(trace.get(name[0], ()))]) | layout[name]
            )
    return {"data": data, "layout": base | layout}


def _numbers(values: Sequence[object]) -> list[float]:
    return [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]


def log_ticks(values: Sequence[float], most: int = 8) -> dict[str, Any]:
    """Ticks of a logarithmic axis over positive ``values``, each with its whole number.

    Plotly's own write the digit alone, "5" for 0.5 and "2" for 0.02.
    """
    positive = [value for value in values if value > 0]
    if not positive:
        return {}
    low, high = min(positive), max(positive)
    places = _few_steps(low, high) if high < 5 * low else _decades(low, high, most)
    return {"tickmode": "array", "tickvals": places, "ticktext": [_power(place) for place in places]}


def _few_steps(low: float, high: float) -> list[float]:
    """About five round numbers at equal distances: within a factor of five there is hardly a 1, 2 or 5."""
    wanted = max(high - low, 0.04 * high) / 4
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= wanted * (1 - 1e-9))
    numbers = range(math.ceil(low / step) - 1, math.floor(high / step) + 2)
    return [float(f"{number * step:.12g}") for number in numbers if number > 0]


def _decades(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 of every power of ten, or fewer where these are too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        places = [float(f"{digit}e{power}") for power in powers for digit in digits]
        places = [place for place in places if 0.9 * low <= place <= 1.1 * high]
        if len(places) <= most:
            return places
    return places[:: -(-len(places) // most)]


def _power(value: float) -> str:
    """``0.05``, ``2000``, ``5 times 10 to the -7`` (as plotly's labels write it)."""
    power = math.floor(math.log10(value) + 1e-9)
    if -4 <= power <= 4:
        return f"{value:.10f}".rstrip("0").rstrip(".") if power < 0 else f"{value:.12g}"
    digit = round(value / 10.0**power, 6)
    times = "" if digit == 1 else f"{digit:g}\u00d7"
    return f"{times}10<sup>{power}</sup>".replace("-", "\u2212")


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title, which is escaped here."""
    return {
        "title": {"text": text(title), "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": "#9aa2ab",
        "automargin": True,
        "exponentformat": "power",
    } | more


def lines(
    x: Sequence[Any],
    series: Mapping[str, Sequence[float | None]],
    *,
    x_title: str,
    y_title: str,
    marks: bool = False,
    at: tuple[float, str] | None = None,
    height: int = 340,
    **y_axis: Any,
) -> Figure:
    """Lines over a common ``x``; ``at`` draws an upright line with its name."""
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if marks else "lines",
            "x": list(x),
            "y": list(values),
            "name": text(name),
            "line": {"color": COLOURS[place % 6], "dash": DASHES[place % 6], "width": 2},
            "marker": {"symbol": MARKS[place % 6], "size": 6},
        }
        for place, (name, values) in enumerate(series.items())
    ]
    drawn = figure(data, height=height, hovermode="x unified", xaxis=axis(x_title), yaxis=axis(y_title, **y_axis))
    if at is not None:
        drawn["layout"]["shapes"] = [upright(at[0])]
        drawn["layout"]["annotations"] = [note(at[0], 1, at[1], yref="paper", xanchor="right", yanchor="top")]
    return drawn


def bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    y_title: str,
    x_title: str = "",
    height: int = 320,
    level: tuple[float, str] | None = None,
    written: Sequence[str] = (),
    **y_axis: Any,
) -> Figure:
    """Grouped bars; ``level`` draws a line across with its name; ``written`` stands above the first series."""
    patterns = ("", "/", ".", "x", "-", "+")
    data = [
        {
            "type": "bar",
            "x": [text(group) for group in groups],
            "y": list(values),
            "name": text(name),
            "marker": {
                "color": COLOURS[place % 6],
                "pattern": {"shape": patterns[place % 6], "fillmode": "overlay", "fgcolor": "#fff"},
            },
        }
        for place, (name, values) in enumerate(series.items())
    ]
    if written and data:
        above: dict[str, Any] = {"textposition": "outside", "cliponaxis": False}
        data[0] |= above | {"text": [text(word) for word in written]}
    drawn = figure(
        data,
        height=height,
        barmode="group",
        xaxis=axis(x_title, type="category"),
        yaxis=axis(y_title, **({"rangemode": "tozero"} | y_axis)),
        showlegend=len(series) > 1,
    )
    if level is not None:
        add_level(drawn, *level)
    return drawn


def intervals(rows: Sequence[tuple[str, float, float, float]], *, x_title: str, best: int = 0) -> Figure:
    """A point and its interval a row, first row on top: name, value, low, high. The ``best`` row is green."""
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [value],
            "y": [text(name)],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [max(high - value, 0.0)],
                "arrayminus": [max(value - low, 0.0)],
                "color": GREEN if place == best else BLUE,
                "thickness": 2,
                "width": 6,
            },
            "marker": {
                "size": 11,
                "symbol": "diamond" if place == best else "circle",
                "color": GREEN if place == best else BLUE,
            },
            "hovertemplate": f"%{{x:.5g}} [{low:.5g}, {high:.5g}]<extra>{text(name)}</extra>",
            "name": text(name),
        }
        for place, (name, value, low, high) in enumerate(rows)
    ]
    height = 110 + 44 * len(rows)
    y_axis = axis("", autorange="reversed", type="category")
    return figure(data, height=height, xaxis=axis(x_title), yaxis=y_axis, showlegend=False)


def heat(
    names_x: Sequence[str],
    names_y: Sequence[str],
    values: Sequence[Sequence[float | None]],
    words: Sequence[Sequence[str]],
    *,
    x_title: str = "",
    y_title: str = "",
    height: int | None = None,
    **trace: Any,
) -> Figure:
    """A table of colours with the values written in; the first row is on top."""
    data = [
        {
            "type": "heatmap",
            "x": [text(name) for name in names_x],
            "y": [text(name) for name in names_y],
            "z": [list(row) for row in values],
            "text": [[text(word) for word in row] for row in words],
            "texttemplate": "%{text}",
            "hovertemplate": "%{y}, %{x}: %{text}<extra></extra>",
            "colorscale": BLUES,
            "showscale": False,
            "xgap": 1,
            "ygap": 1,
        }
        | trace
    ]
    return figure(
        data,
        height=height or 130 + 38 * len(names_y),
        xaxis=axis(x_title, type="category", showgrid=False),
        yaxis=axis(y_title, type="category", autorange="reversed", showgrid=False),
    )


def marks(
    series: Mapping[str, tuple[Sequence[Any], Sequence[float] | Sequence[str], Sequence[str]]],
    *,
    x_title: str,
    y_title: str,
    height: int = 380,
    size: float = 8,
    opacity: float = 0.8,
    x_axis: Mapping[str, Any] | None = None,
    y_axis: Mapping[str, Any] | None = None,
) -> Figure:
    """Points: name -> x, y and what is shown of each when pointed at (may be empty)."""
    data = []
    for place, (name, (x, y, words)) in enumerate(series.items()):
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "x": list(x),
            "y": list(y),
            "name": text(name),
            "marker": {
                "color": COLOURS[place % 6],
                "symbol": MARKS[place % 6],
                "size": size,
                "opacity": opacity,
                "line": {"color": "#fff", "width": 0.7},
            },
        }
        if words:
            trace |= {"text": [text(word) for word in words], "hovertemplate": "%{text}<extra></extra>"}
        data.append(trace)
    xaxis, yaxis = axis(x_title, **(x_axis or {})), axis(y_title, **(y_axis or {}))
    return figure(data, height=height, xaxis=xaxis, yaxis=yaxis, showlegend=len(series) > 1)


def band(
    x: Sequence[Any], low: Sequence[float], high: Sequence[float], *, name: str, **more: Any
) -> list[dict[str, Any]]:
    """A filled band between two lines, as two traces."""
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "x": list(x), "hoverinfo": "skip"} | more
    return [
        edge | {"y": list(low), "showlegend": False},
        edge | {"y": list(high), "name": text(name), "fill": "tonexty", "fillcolor": "rgba(0,114,178,0.18)"},
    ]


def panels(figures: Sequence[tuple[str, Figure]], *, columns: int = 2, row_height: int = 300) -> Figure:
    """Small charts beside each other under their titles; legends are dropped. On a phone they are put in one column."""
    rows = -(-len(figures) // columns)
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"grid": {"rows": rows, "columns": columns, "pattern": "independent"}}
    layout["grid"] |= {"xgap": 0.18, "ygap": 0.34 if rows > 1 else 0.2}
    titles = []
    for place, (title, inner) in enumerate(figures):
        mark = "" if place == 0 else str(place + 1)
        for trace in inner["data"]:
            data.append(trace | {"xaxis": f"x{mark}", "yaxis": f"y{mark}", "showlegend": False})
        layout[f"xaxis{mark}"], layout[f"yaxis{mark}"] = inner["layout"]["xaxis"], inner["layout"]["yaxis"]
        if title:
            titles.append(
                note(0.5, 1.03, f"<b>{text(title)}</b>", raw=True, yanchor="bottom", xanchor="center")
                | {"xref": f"x{mark} domain", "yref": f"y{mark} domain"}
            )
    margin = {"l": 56, "r": 16, "t": 56, "b": 48}  # the tools lie above the titles
    return figure(data, height=90 + row_height * rows, margin=margin, annotations=titles, showlegend=False, **layout)


def upright(x: float) -> dict[str, Any]:
    """A dotted line at ``x``, the whole height."""
    line = {"color": GREY, "dash": "dot", "width": 1.5}
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def add_level(drawn: Figure, y: float, words: str = "") -> None:
    """Draw a dotted line across at ``y``, named at its right end."""
    drawn["layout"]["shapes"] = [across(y)]
    if words:
        drawn["layout"]["annotations"] = [note(1, y, words, xref="paper", xanchor="right", yanchor="bottom")]


def across(y: float) -> dict[str, Any]:
    """A dotted line at ``y``, the whole width."""
    line = {"color": "#444", "dash": "dot", "width": 1.5}
    return {"type": "line", "y0": y, "y1": y, "xref": "paper", "x0": 0, "x1": 1, "line": line}


def note(x: float, y: float, words: str, *, raw: bool = False, **more: Any) -> dict[str, Any]:
    """Words at a place of the chart."""
    return {"x": x, "y": y, "text": words if raw else text(words), "showarrow": False, "font": {"size": 12}} | more
