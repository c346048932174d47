"""Where explanations lie, by name, and a small reader of them: what reports need and nothing else.

::

    <run>/explanations/
      summary.json            what was explained, how, how well it adds up, agreement, seconds
      findings.json           the findings in words with their numbers, most telling first
      samples.csv             one row a sample: unit, steps, answer, base, truth
      attributions/<method>.npz + <method>.json     an ``Attribution`` each
      tables/<name>.csv       see ``TABLES``
      plots/<name>.png        see ``PLOTS``

The folder appears complete or not at all. No pickle, no TensorFlow: reading takes numpy and json.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import files
from keras_seq.errors import DataError

if TYPE_CHECKING:
    from keras_seq.explain.attribution import Attribution

FOLDER = "explanations"
SUMMARY, FINDINGS, SAMPLES = "summary.json", "findings.json", "samples.csv"
ATTRIBUTIONS, TABLES_FOLDER, PLOTS_FOLDER = "attributions", "tables", "plots"

TABLES = {
    "sensors": "method, feature, unit, importance (mean |attribution| of a sample), share, direction, rank",
    "steps": "method, lag (steps before the last one), importance, share, rank",
    "heatmap": "method, feature, lag_from, lag_to, importance, mean (signed)",
    "attributions": "method, sample, unit_id, feature, time, value, rank: the largest of every sample",
    "agreement": "method, other, spearman (of sensors x time blocks), sensors (of sensors alone)",
    "faithfulness": "method (random: any order), deletion (area, small is good), insertion (large is good)",
    "interactions": "feature, other, strength: of the top sensors' joint effect beyond the sum of their own",
    "importance": "group, loss, increase, deviation: permutation importance on real labels",
}
PLOTS = {
    "sensors": "sensors ranked by mean |attribution|",
    "sensors_by_sample": "attribution of every sample by sensor, coloured by the sensor's value",
    "steps": "attribution by lag",
    "heatmap": "sensor x lag",
    "dependence": "attribution of the top sensors against their value",
    "interactions": "joint effects of the top sensors",
    "agreement": "rank correlation of the methods",
    "faithfulness": "deletion and insertion curves",
    "importance": "permutation importance",
    "attention": "attention weights by head, and rollout",
    "waterfall_<sample>": "one sample: from the base to the answer, sensor by sensor",
    "traces_<sample>": "one sample: its signals coloured by attribution",
    "evolution_<sample>": "one sample: answer and reasons as the steps arrive",
}


@dataclass(frozen=True)
class Explanations:
    """A folder of explanations that was read.

    Attributes:
        folder: where it lies.
        summary: ``summary.json``.
        findings: ``findings.json``: a list of ``{"title", "text", "numbers"}``.
    """

    folder: Path
    summary: dict[str, Any]
    findings: list[dict[str, Any]]

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods whose attributions are there, the main one first."""
        return tuple(self.summary["methods"])

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are there."""
        return tuple(sorted(path.stem for path in (self.folder / TABLES_FOLDER).glob("*.csv")))

    @property
    def plots(self) -> dict[str, Path]:
        """Pictures by name: the global ones in the order of ``PLOTS``, then those of single samples."""
        pictures = {path.stem: path for path in sorted((self.folder / PLOTS_FOLDER).glob("*.png"))}
        first = [name for name in PLOTS if name in pictures]
        return {name: pictures[name] for name in (*first, *(name for name in pictures if name not in first))}

    def attribution(self, method: str) -> Attribution:
        """The attributions of one method.

        Raises:
            DataError: there are none of this method.
        """
        from keras_seq.explain.attribution import Attribution

        return Attribution.load(self.folder / ATTRIBUTIONS / method)

    def table(self, name: str) -> list[dict[str, str]]:
        """Rows of a table, ``samples`` too; values as text.

        Raises:
            DataError: there is no such table.
        """
        path = self.folder / SAMPLES if name == "samples" else table_file(self.folder, name)
        if not path.is_file():
            raise DataError(f"'{self.folder}' holds no table '{name}'; it has {', '.join(self.tables) or 'none'}.")
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def read(folder: str | Path) -> Explanations:
    """Open a folder of explanations, or the run that holds one.

    Raises:
        DataError: there is none, or it is not complete.
    """
    folder = Path(folder)
    if not (folder / SUMMARY).is_file() and (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    try:
        return Explanations(folder, files.read_json(folder / SUMMARY), files.read_json(folder / FINDINGS))
    except (OSError, ValueError):
        raise DataError(
            f"'{folder}' holds no explanations (no readable {SUMMARY} and {FINDINGS}); "
            "make them with 'python -m keras_seq.explain BUNDLE'."
        ) from None


def default_folder(bundle_folder: Path) -> Path:
    """``<run>/explanations`` of the run a bundle belongs to; a bundle that lies alone gets it beside itself."""
    run = bundle_folder.parent if bundle_folder.name == "bundle" else bundle_folder
    return run / FOLDER if run != bundle_folder else bundle_folder.with_name(f"{bundle_folder.name}-{FOLDER}")


def table_file(folder: Path, name: str) -> Path:
    """Where a table lies."""
    return folder / TABLES_FOLDER / f"{name}.csv"


def plot_file(folder: Path, name: str) -> Path:
    """Where a picture lies."""
    return folder / PLOTS_FOLDER / f"{name}.png"


def attribution_file(folder: Path, method: str) -> Path:
    """Path without ending of the attributions of a method."""
    return folder / ATTRIBUTIONS / method


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows of equal keys as CSV, floats to 7 digits, atomically; without rows there is no file."""
    if not rows:
        return path
    with files.new_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({key: _text(value) for key, value in row.items()} for row in rows)
    return path


def _text(value: Any) -> Any:
    return f"{float(value):.7g}" if isinstance(value, float) or hasattr(value, "dtype") else value
