"""Every link of README and docs leads to a file that is there, and to a heading of it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs/reference"
LINK = re.compile(r"\]\(([^()\s]+)\)")


def pages() -> list[Path]:
    """README, its neighbours and docs, without what is generated."""
    found = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if GENERATED not in page.parents]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Headings of a page as links name them."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere; a generated page is nowhere."""
    links = []
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        there = target.exists() and GENERATED not in (target, *target.parents)
        if not there or (anchor and anchor not in anchors(target)):
            links.append(link)
    return links


def test_every_link_leads_somewhere():
    assert len(pages()) > 30
    assert {page.name: links for page in pages() if (links := broken(page))} == {}


def test_planted_broken_links_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](none.md) [b](#one-two) [c](#three)\n```\n[d](code.md)\n```\n", encoding="utf-8")
    assert broken(page) == ["none.md", "#three"]
