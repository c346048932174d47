"""Sources of a report: the folders and files of a run that it is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.bundle import Bundle, load_bundle
from keras_seq.errors import ConfigError, DataError
from keras_seq.export.gate import read_verdict

MARKS = {  # a folder's name -> the file that must lie in it
    "comparison": "comparison.json",
    "study": "study.json",
    "benchmark": "benchmark.json",
    "temporal": "temporal.json",
    "explanations": "summary.json",
    "export": "",
    "monitor": "events.jsonl",
}


@dataclass(frozen=True)
class Sources:
    """Everything a report is made of; what is None is not there.

    Attributes:
        bundle: of the run.
        run: run folder, for commands and for what lies beside the bundle.
        comparison, study, benchmark, temporal, explanations, export, monitor: folders.
        answers: what ``answers.measure`` returned; None: not asked for.
    """

    bundle: Bundle
    run: Path
    comparison: Path | None = None
    study: Path | None = None
    benchmark: Path | None = None
    temporal: Path | None = None
    explanations: Path | None = None
    export: Path | None = None
    monitor: Path | None = None
    answers: dict[str, Any] | None = None


def find_sources(run: str | Path, given: Mapping[str, str | None] | None = None) -> Sources:
    """Folders beside a run's bundle, or those ``given`` by name (a key of ``MARKS``).

    Raises:
        ModelError: no bundle.
        ConfigError: a folder was given that does not hold what it should; names the file.
    """
    bundle = load_bundle(run)
    folder = bundle.folder.parent if bundle.folder.name == "bundle" else bundle.folder
    folders: dict[str, Path] = {}
    for name, mark in MARKS.items():
        if (chosen := (given or {}).get(name)) is not None:
            if not (Path(chosen) / mark).exists():
                missing = f" (no {mark} in it)" if mark and Path(chosen).is_dir() else ""
                raise ConfigError(
                    f"Option '--{name}': '{chosen}' holds no {name}{missing}. Give the folder it was written to."
                )
            folders[name] = Path(chosen)
        elif name != "study" and (folder / name / mark).exists():
            folders[name] = folder / name
    answers = folder / "report" / "answers.json"
    sources = Sources(bundle, folder, **folders, answers=read(answers) if answers.exists() else None)
    comparison = sources.comparison or _comparison_beside(bundle, folder)
    return replace(sources, comparison=comparison, export=_latest_version(sources.export))


def read(path: Path) -> Any:
    """A JSON file of ours.

    Raises:
        DataError: it is damaged; names it.
    """
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read ({error}). Write it again, or take it away.") from None


def read_lines(path: Path, most: int = 5000) -> list[dict[str, Any]]:
    """The last ``most`` records of a file of JSON lines; lines that are no JSON object are left out."""
    records: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-most:]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _comparison_beside(bundle: Bundle, folder: Path) -> Path | None:
    """A comparison beside the runs, if it judged this split and names this run."""
    names = (bundle.experiment.name, f"{bundle.experiment.name}/{folder.name}")
    for place in (folder.parent / "comparison", folder.parent.parent / "comparison"):
        if not (place / "comparison.json").exists():
            continue
        comparison = read(place / "comparison.json")
        same = comparison["facts"].get("split") == str(bundle.data.get("split", ""))[:16]
        if same and any(row["contender"].startswith(names) for row in comparison["contenders"]):
            return place
    return None


def _latest_version(folder: Path | None) -> Path | None:
    """The highest version with a verdict in an export folder, or the folder itself if it is one."""
    if folder is None or read_verdict(folder) is not None:
        return folder
    versions = [path for path in folder.iterdir() if path.name.isdigit() and read_verdict(path) is not None]
    return max(versions, key=lambda path: int(path.name), default=None)
