"""Pieces of one HTML page that needs no other file and no network: text, tables, pictures, the page itself.

Every piece is ``Markup``: HTML that is put together by adding and formatting pieces, which escapes whatever else, such
as text from data, is put into them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from keras_seq.figures import figure

NOTHING = Markup("")


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
    body: Markup
    command: str = ""


def number(value: object, digits: int = 4) -> str:
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


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph of plain text."""
    return Markup("<p{}>{}</p>").format(_class(kind), text)


def heading(text: str) -> Markup:
    """A heading within a section."""
    return Markup("<h3>{}</h3>").format(text)


def facts(rows: Mapping[str, Any]) -> Markup:
    """A list of named facts; empty ones are left out."""
    filled = {name: number(value) for name, value in rows.items() if value not in (None, "", [], {})}
    inner = _each("<dt>{}</dt><dd>{}</dd>", filled.items())
    return Markup("<dl>{}</dl>").format(inner) if inner else NOTHING


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    kinds: Sequence[str] = (),
    digits: int = 4,
) -> Markup:
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
    titles = _each(
        '<th scope="col"{}>{}</th>',
        [(_class("number" if is_numeric else ""), title) for is_numeric, title in zip(numeric, head, strict=True)],
    )
    lines = []
    for place, row in enumerate(cells):
        inner = NOTHING.join(_cell(value, column, numeric[column], digits) for column, value in enumerate(row))
        lines.append((_class(kinds[place] if place < len(kinds) else ""), inner))
    name = Markup("<caption>{}</caption>").format(caption) if caption else NOTHING
    inner = Markup("<table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table>")
    inner = inner.format(name, titles, _each("<tr{}>{}</tr>", lines))
    return _scrolled(caption or ", ".join(head)[:120], inner)


def details(summary: str, body: Markup) -> Markup:
    """A folded part: its summary, and what is shown when it is opened."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, body) if body else NOTHING


def code(text: str) -> Markup:
    """Text of a file, its lines kept."""
    return Markup("<pre><code>{}</code></pre>").format(text)


def picture(path: Path, alt: str, *, natural: bool = False) -> Markup:
    """A PNG inside the page, ``natural``: in its own width, scrolled; empty where there is no such file."""
    if not path.is_file():
        return NOTHING
    data = base64.b64encode(path.read_bytes()).decode()
    image = Markup('<img loading="lazy" alt="{}" src="data:image/png;base64,{}">').format(alt, data)
    figure = Markup('<figure class="{}">{}<figcaption>{}</figcaption></figure>')
    return figure.format("picture natural" if natural else "picture", _scrolled(alt, image), alt)


def tiles(rows: Sequence[tuple[str, str, str]]) -> Markup:
    """Key numbers: name, value, what stands beside it."""
    tile = '<div class="tile"><span class="name">{}</span><b>{}</b><span class="beside">{}</span></div>'
    return Markup('<div class="tiles">{}</div>').format(_each(tile, rows)) if rows else NOTHING


def contents(sections: Sequence[PageSection]) -> Markup:
    """Links to what is there, and for what is not the command that makes it."""
    there = _each('<li><a href="#{}">{}</a></li>', [(s.key, s.title) for s in sections if s.body])
    absent = _each("<li>{}: <code>{}</code></li>", [(s.title, s.command) for s in sections if s.command and not s.body])
    more = Markup('<h3>Not in this report, and what makes it</h3><ul class="missing">{}</ul>').format(absent)
    nav = Markup('<nav aria-label="Contents"><h3>Contents</h3><ul>{}</ul>{}</nav>')
    return nav.format(there, more if absent else NOTHING)


def page(
    title: str,
    intro: Markup,
    sections: Sequence[PageSection],
    *,
    foot: Markup = NOTHING,
    policy: str = "",
    scripts: Markup = NOTHING,
) -> Markup:
    """The whole page.

    Args:
        title: of the document and the first heading; plain text.
        intro: HTML above the contents.
        sections: those without a body are only named in the contents.
        foot: HTML at the end.
        policy: Content-Security-Policy of the page; empty: none.
        scripts: HTML of the scripts, last in the body.
    """
    rule = Markup('<meta http-equiv="Content-Security-Policy" content="{}">').format(policy) if policy else NOTHING
    section = '<section id="{0}" aria-labelledby="{0}-title"><h2 id="{0}-title">{1}</h2>\n{2}\n</section>\n'
    body = _each(section, [(s.key, s.title, s.body) for s in sections if s.body])
    head = {"title": title, "rule": rule, "style": asset("page.css"), "intro": intro, "contents": contents(sections)}
    return asset("page.html").format(**head, body=body, foot=foot, scripts=scripts)


def asset(name: str) -> Markup:
    """A file of ``assets``."""
    return Markup((Path(__file__).parent / "assets" / name).read_text(encoding="utf-8"))


def _each(template: str, rows: Iterable[Iterable[Any]]) -> Markup:
    """A template filled with every row; what is no ``Markup`` is escaped."""
    return NOTHING.join(Markup(template).format(*row) for row in rows)


def _scrolled(label: str, inner: Markup) -> Markup:
    return Markup('<div class="wide" tabindex="0" role="region" aria-label="{}">{}</div>').format(label, inner)


def _class(kind: str) -> Markup:
    return Markup(' class="{}"').format(kind) if kind else NOTHING


def _is_numeric(values: Sequence[Any]) -> bool:
    filled = [value for value in values if value not in (None, "")]
    return bool(filled) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in filled)


def _cell(value: object, column: int, numeric: bool, digits: int) -> Markup:
    text = "yes" if value is True else "no" if value is False else number(value, digits)
    kind = _class("number" if numeric else "text" if column and len(text) > 40 else "")
    return Markup('<th scope="row"{}>{}</th>' if column == 0 else "<td{}>{}</td>").format(kind, text)
