"""Pieces of one HTML page that needs no other file and no network: text, tables, pictures, style, the page itself."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_seq.figures import figure

STYLE = """
:root { color-scheme: light; --line: #d5d9de; --quiet: #50565e; --accent: #0072B2 }
* { box-sizing: border-box }
html { scroll-padding-top: 1rem }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #1b1e22; background: #fff;
  max-width: 1100px; margin: 0 auto; padding: 1.2rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .2em 0 }
h2 { font-size: 1.3rem; margin: 2.2em 0 .5em; padding-top: .7em; border-top: 2px solid var(--line) }
h3 { font-size: 1.02rem; margin: 1.5em 0 .4em }
p { margin: .5em 0; max-width: 48em } a { color: #005a8f }
figure { margin: .6em 0 1.4em } img { max-width: 100%; height: auto; display: block }
figcaption, .small { color: var(--quiet); font-size: .87rem }
code { font: .87em/1.4 ui-monospace, Menlo, Consolas, monospace; background: #f2f4f6; padding: .1em .3em;
  border-radius: 3px }
.wide { overflow-x: auto; margin: .4em 0 } .wide:focus-visible { outline: 2px solid var(--accent) }
table { border-collapse: collapse; font-size: .88rem }
caption { text-align: left; color: var(--quiet); padding: .2em 0 }
th, td { padding: .28em .7em; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap }
thead th { border-bottom: 2px solid #9aa2ab; vertical-align: bottom } tbody th { font-weight: 500 }
td { font-variant-numeric: tabular-nums } .number { text-align: right }
.text { white-space: normal; min-width: 14em; overflow-wrap: break-word }
tr.best { background: #fdf3dc } tr.bad td { color: #8f3300 } tr.quiet td { color: var(--quiet) }
dl { display: grid; grid-template-columns: minmax(5em, max-content) 1fr; gap: .15em 1.2em; margin: .6em 0 }
dt { color: var(--quiet) } dd { margin: 0 }
nav ul { columns: 2; column-gap: 2rem; padding-left: 1.2em; margin: .4em 0 } nav li { break-inside: avoid }
nav ul.missing { columns: 1; font-size: .9rem } .missing li { margin: .2em 0 }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .7rem; margin: 1rem 0 }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem }
.tile b { display: block; font-size: 1.45rem; line-height: 1.25; font-variant-numeric: tabular-nums }
.tile .name { font-size: .85rem; color: var(--quiet) } .tile .beside { font-size: .85rem }
.chart { width: 100%; position: relative } .chart .waiting { color: var(--quiet); font-size: .87rem; padding: 1rem }
.natural img { max-width: none } details { margin: .3em 0 }
summary { cursor: pointer; color: #005a8f; font-size: .88rem }
@media (max-width: 640px) { body { padding: .7rem; font-size: 15px } nav ul { columns: 1 }
  dl { grid-template-columns: minmax(6em, 38%) 1fr } .tiles { grid-template-columns: 1fr 1fr }
  .tile b { font-size: 1.2rem } .picture img { max-width: none; width: 720px } .natural img { width: auto }
  th, td { padding: .28em .5em } }
@media print { @page { size: A4; margin: 14mm } body { max-width: none; padding: 0; font-size: 9.5pt }
  a { color: inherit; text-decoration: none } h2, h3 { break-after: avoid } figure, tr, .tile { break-inside: avoid }
  .wide { overflow: visible } table { font-size: 7pt } th, td { white-space: normal; padding: .2em .4em;
  overflow-wrap: normal } img { max-width: 100% !important; width: auto !important }
  .text { min-width: 0 } details:not([open]) { display: none } .modebar, .waiting { display: none !important }
  .chart, .chart .plot-container, .chart .svg-container { width: 100% !important; height: auto !important;
    min-height: 0 !important }
  .chart .svg-container { aspect-ratio: var(--ratio) }
  .chart .main-svg { width: 100% !important; height: 100% !important } }
"""


@dataclass(frozen=True)
class PageSection:
    """A part of the page.

    Attributes:
        key: anchor.
        title: heading.
        body: HTML; empty where there is no material.
        command: that makes the material, for the contents; plain text.
    """

    key: str
    title: str
    body: str
    command: str = ""


def safe(text: Any) -> str:
    """Any value as text that cannot become markup."""
    return html.escape(str(text))


def number(value: Any, digits: int = 4) -> str:
    """A number as people read it; whole numbers with thin spaces, nothing for None and NaN; other values as text."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return "" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u2009")
    if abs(value) >= 10 ** max(digits, 4):
        return f"{value:,.0f}".replace(",", "\u2009")
    return figure(value, digits)


def paragraph(text: Any, kind: str = "") -> str:
    """A paragraph of plain text."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{safe(text)}</p>"


def facts(rows: Mapping[str, Any]) -> str:
    """A list of named facts; empty ones are left out."""
    kept = {key: value for key, value in rows.items() if value not in (None, "", [], {})}
    inner = "".join(f"<dt>{safe(key)}</dt><dd>{safe(number(value))}</dd>" for key, value in kept.items())
    return f"<dl>{inner}</dl>" if inner else ""


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    kinds: Sequence[str] = (),
    digits: int = 4,
) -> str:
    """A table that scrolls within itself; the first cell of each row is its header.

    Args:
        head: titles of the columns.
        rows: numbers are aligned to the right and shortened to ``digits`` figures.
        caption: what it holds; also the name of the scrolled region.
        kinds: class of each row ("best", "bad" or nothing).
        digits: significant figures.
    """
    cells = [list(row) for row in rows]
    numeric = [_is_numeric([row[place] for row in cells]) for place in range(len(head))]
    titles = "".join(f'<th scope="col"{_kind(numeric[place])}>{safe(title)}</th>' for place, title in enumerate(head))
    lines = []
    for place, row in enumerate(cells):
        kind = kinds[place] if place < len(kinds) else ""
        inner = "".join(_cell(value, column, numeric[column], digits) for column, value in enumerate(row))
        lines.append(f'<tr class="{kind}">{inner}</tr>' if kind else f"<tr>{inner}</tr>")
    said = f"<caption>{safe(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{safe(caption or ", ".join(head)[:120])}"><table>'
        f"{said}<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def details(summary: str, body: str) -> str:
    """Folded material."""
    return f"<details><summary>{safe(summary)}</summary>{body}</details>" if body else ""


def picture(path: Path, alt: str, *, natural: bool = False) -> str:
    """A PNG inside the page, ``natural``: in its own width, scrolled; empty where there is no such file."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    kind = "picture natural" if natural else "picture"
    return (
        f'<figure class="{kind}"><div class="wide" tabindex="0" role="region" aria-label="{safe(alt)}">'
        f'<img loading="lazy" alt="{safe(alt)}" src="data:image/png;base64,{data}"></div>'
        f"<figcaption>{safe(alt)}</figcaption></figure>"
    )


def tiles(rows: Sequence[tuple[str, str, str]]) -> str:
    """Key numbers: name, value, what stands beside it."""
    inner = "".join(
        f'<div class="tile"><span class="name">{safe(name)}</span><b>{safe(value)}</b>'
        f'<span class="beside">{safe(beside)}</span></div>'
        for name, value, beside in rows
    )
    return f'<div class="tiles">{inner}</div>' if inner else ""


def contents(sections: Sequence[PageSection]) -> str:
    """Links to what is there, and for what is not the command that makes it."""
    there = "".join(f'<li><a href="#{s.key}">{safe(s.title)}</a></li>' for s in sections if s.body)
    absent = "".join(
        f"<li>{safe(s.title)}: <code>{safe(s.command)}</code></li>" for s in sections if not s.body and s.command
    )
    more = f'<h3>Not in this report, and what makes it</h3><ul class="missing">{absent}</ul>' if absent else ""
    return f'<nav aria-label="Contents"><h3>Contents</h3><ul>{there}</ul>{more}</nav>'


def page(
    title: str, intro: str, sections: Sequence[PageSection], *, foot: str = "", policy: str = "", scripts: str = ""
) -> str:
    """The whole page.

    Args:
        title: of the document and the first heading; plain text.
        intro: HTML above the contents.
        sections: those without a body are only named in the contents.
        foot: HTML at the end.
        policy: Content-Security-Policy of the page; empty: none.
        scripts: HTML of the scripts, last in the body.
    """
    body = "\n".join(
        f'<section id="{s.key}" aria-labelledby="{s.key}-title"><h2 id="{s.key}-title">{safe(s.title)}</h2>\n'
        f"{s.body}\n</section>"
        for s in sections
        if s.body
    )
    rule = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">' if policy else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{rule}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{STYLE}</style></head>\n<body>\n<header><h1>{safe(title)}</h1>\n"
        f"{intro}\n{contents(sections)}</header>\n<main>\n{body}\n</main>\n<footer>{foot}</footer>\n{scripts}</body></html>\n"
    )


def _is_numeric(values: Sequence[Any]) -> bool:
    filled = [value for value in values if value not in (None, "")]
    return bool(filled) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in filled)


def _kind(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _cell(value: Any, column: int, numeric: bool, digits: int) -> str:
    text = safe("yes" if value is True else "no" if value is False else number(value, digits))
    if column == 0:
        return f'<th scope="row"{_kind(numeric)}>{text}</th>'
    kind = ' class="number"' if numeric else ' class="text"' if len(text) > 40 else ""
    return f"<td{kind}>{text}</td>"
