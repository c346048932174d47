"""One page about a run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import files, machine
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from keras_seq.reports.sources import Sources


def write_report(
    run: str | Path,
    *,
    out: str | Path | None = None,
    given: Mapping[str, str | None] | None = None,
    answers: bool = False,
    png: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a run.

    Args:
        run: run or bundle folder.
        out: the HTML file; None: ``report.html`` in the run folder.
        given: folders by name, a key of ``sources.MARKS``; others are looked for in the run folder.
        answers: ask the model on its test part once more, and keep what the charts need in ``<run>/report``.
        png: copy the pictures of everything in the report into ``<out without ending>_pictures``.
        overrides: dotted ``data.*`` options for ``answers``.

    Returns:
        The HTML file, complete or not there.

    Raises:
        ModelError, ConfigError, DataError, OutputError: no bundle, a folder that does not hold what it should, damaged
            material, or a place that cannot be written.
    """
    from keras_seq.reports import html, html_charts, sections
    from keras_seq.reports.sources import find_sources

    sources = find_sources(run, given)
    target = Path(out) if out else sources.run / "report.html"
    if target.is_dir():
        raise ConfigError(
            f"Option '--out' must be a file, '{target}' is a folder; give for example '{target}/report.html'."
        )
    files.ensure_writable(target.parent, need_mb=20)
    if answers:
        _ask(sources, overrides or {})
        sources = find_sources(run, given)
    experiment = sources.bundle.experiment
    built = sections.build(sources)
    intro = html.paragraph(
        f"{experiment.model.family} on {sources.bundle.schema.name}, seed {experiment.seed}", "small"
    )
    page = html.page(
        f"{experiment.name}: report",
        intro,
        built,
        foot=html.paragraph(f"Written {time.strftime('%Y-%m-%d %H:%M')} from {sources.run}.", "small"),
        policy=html_charts.policy(),
        scripts=html_charts.scripts(),
    )
    files.write_text(target, page)
    if png:
        copy_pictures(sources, target.with_name(f"{target.stem}_pictures"))
    return target


def copy_pictures(sources: Sources, folder: Path) -> Path:
    """The PNG of everything that a report draws on, in one folder: ``<origin>_<name>.png``.

    Raises:
        OutputError: the folder cannot be written.
    """
    origins = {
        "run": sources.bundle.folder / "plots",
        "comparison": sources.comparison,
        "study": sources.study / "report" if sources.study else None,
        "temporal": sources.temporal,
        "benchmark": sources.benchmark,
        "explanations": sources.explanations / "plots" if sources.explanations else None,
    }
    with files.new_folder(folder, replace=True) as partial:
        for name, origin in origins.items():
            for path in sorted(origin.glob("*.png")) if origin else ():
                shutil.copyfile(path, partial / f"{name}_{path.name}")
    return folder


def _ask(sources: Sources, overrides: Mapping[str, Any]) -> None:
    machine.load_tensorflow()
    from keras_seq.reports.answers import measure

    files.write_json(sources.run / "report" / "answers.json", measure(sources.bundle, overrides))
