"""Where a report finds its material, and the order of its sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.bundle import Bundle, load_bundle
from keras_seq.errors import ConfigError, DataError
from keras_seq.export.gate import read_verdict
from keras_seq.reports.html import PageSection

GIVEN = ("comparison", "study", "benchmark", "temporal", "explanations", "export", "monitor")


@dataclass(frozen=True)
class Sources:
    """Everything a report is made of; what is None is not there.

    Attributes:
        bundle: of the run.
        run: run folder, for commands and for what lies beside the bundle.
        comparison, study, benchmark, temporal, explanations, export, monitor: folders.
        answers: what ``sections_answers.measure`` left, or None.
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


def find_sources(run: str | Path, given: dict[str, str | None] | None = None) -> Sources:
    """What lies in the run folder, or in the folders ``given`` by name.

    Raises:
        ModelError: no bundle.
        ConfigError: a folder was given that does not hold what it should; names the file.
    """
    bundle = load_bundle(run)
    folder = bundle.folder.parent if bundle.folder.name == "bundle" else bundle.folder
    found: dict[str, Path | None] = {}
    marks = {
        "comparison": "comparison.json",
        "study": "study.json",
        "benchmark": "benchmark.json",
        "temporal": "temporal.json",
        "explanations": "summary.json",
        "monitor": "events.jsonl",
    }
    for name in GIVEN:
        chosen = (given or {}).get(name)
        if chosen is not None:
            mark = marks.get(name, "")
            if not (Path(chosen) / mark).exists():
                what = f" (no {mark} in it)" if mark and Path(chosen).is_dir() else ""
                raise ConfigError(
                    f"Option '--{name}': '{chosen}' holds no {name}{what}. Give the folder it was written to."
                )
            found[name] = Path(chosen)
        elif name != "study" and (folder / name / marks.get(name, "")).exists():
            found[name] = folder / name
    if "comparison" not in found:
        found["comparison"] = _comparison_beside(bundle, folder)
    if found.get("export"):
        found["export"] = _latest_version(found["export"])
    answers = folder / "report" / "answers.json"
    return Sources(bundle, folder, **found, answers=read(answers) if answers.exists() else None)


def build(sources: Sources) -> list[PageSection]:
    """All sections in their order; those without material have no body."""
    from keras_seq.reports import sections_proof, sections_run, sections_served, sections_tuning

    makers = (
        sections_run.summary,
        sections_run.data,
        sections_run.training,
        sections_run.metrics,
        sections_run.decision,
        sections_run.answers,
        sections_proof.comparison,
        sections_tuning.tuning,
        sections_proof.bands,
        sections_proof.explanations,
        sections_served.benchmark,
        sections_served.gate,
        sections_served.monitoring,
        sections_run.settings,
    )
    return [make(sources) for make in makers]


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
    import json

    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-most:]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def _comparison_beside(bundle: Bundle, folder: Path) -> Path | None:
    """A comparison beside the runs, if it judged this split and names this run."""
    names = (bundle.experiment.name, f"{bundle.experiment.name}/{folder.name}")
    for place in (folder.parent / "comparison", folder.parent.parent / "comparison"):
        if not (place / "comparison.json").exists():
            continue
        known = read(place / "comparison.json")
        same = known["facts"].get("split") == str(bundle.data.get("split", ""))[:16]
        if same and any(row["contender"].startswith(names) for row in known["contenders"]):
            return place
    return None


def _latest_version(folder: Path | None) -> Path | None:
    """The highest version with a verdict in an export folder, or the folder itself if it is one."""
    if folder is None or read_verdict(folder) is not None:
        return folder
    versions: Sequence[Path] = [
        path for path in folder.iterdir() if path.name.isdigit() and read_verdict(path) is not None
    ]
    return max(versions, key=lambda path: int(path.name), default=None)
