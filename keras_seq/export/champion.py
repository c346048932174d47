"""The version that is served now beside the candidate, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.bundle import Bundle
from keras_seq.errors import ExportError, KerasSeqError
from keras_seq.evaluation.measures import MEASURES
from keras_seq.export.canary import Arrays, load
from keras_seq.export.gate import Check, compare
from keras_seq.export.record import read_metadata
from keras_seq.tasks import TASKS

if TYPE_CHECKING:
    from keras_seq.data.windows import WindowIndex

ROWS = 2000  # test windows that both answer where their recorded metrics are of different splits


def find_champion(base: Path) -> Path | None:
    """The version of a base path that a server would load: the highest number."""
    versions = [path for path in base.glob("*") if path.is_dir() and path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name), default=None)


def check_champion(bundle: Bundle, candidate: Path, champion: Path, margin: float) -> Check:
    """The deciding metric of both: as recorded if the split is the same, else measured on the candidate's test part.

    Args:
        bundle: of the candidate.
        candidate: its version folder.
        champion: version folder that is served now.
        margin: see ``keras_seq.export.gate.compare``.
    """
    check, rival = "champion", f"version {champion.name}"
    metric = MEASURES[bundle.spec.task][0].name
    try:
        about = read_metadata(champion)
    except ExportError:
        about = {}
    same = _same_truth(about.get("data", {}), bundle.data) and about.get("task") == bundle.spec.task
    known = about.get("metrics", {}).get("test", {}) if same else {}
    several = len(bundle.spec.target_std) > 1  # older versions pooled several targets as they were
    recorded = known.get(metric) if not several or any(name.startswith(f"{metric}/") for name in known) else None
    if recorded is not None:
        own = bundle.metrics.get("test", {}).get(metric)
        return compare(bundle, own, recorded, margin, check=check, rival=f"{rival} on the same split")
    try:
        own, other = measure_afresh(bundle, [candidate, champion])
    except KerasSeqError as error:
        why = f"{rival} was judged on other data or rows and cannot be judged on the candidate's test part: {error}"
        return Check(check, "not comparable", (why,))
    return compare(bundle, own, other, margin, check=check, rival=f"{rival} on the candidate's test part")


def _same_truth(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records of data are of one split of the same targets, so that recorded metrics can be compared."""
    key = "targets" if one.get("targets") and other.get("targets") else "fingerprint"
    return one.get("split") == other.get("split") and one.get(key) == other.get(key)


def measure_afresh(bundle: Bundle, versions: list[Path]) -> list[float]:
    """The deciding metric of versions on one set of the bundle's test windows, at each window's last step.

    Where one version takes lengths and another does not, the windows are those without padding, which both can read.

    Raises:
        DataError: the data are missing or differ.
        ExportError: a version takes other inputs, or cannot be loaded.
    """
    from keras_seq.evaluation.scores import score
    from keras_seq.export.samples import spread
    from keras_seq.training.predictions import points

    prepared = bundle.prepared
    short = [_takes_lengths(version) for version in versions]
    index = prepared.index["test"] if all(short) or not any(short) else _whole(prepared.index["test"], bundle)
    chosen = spread(index, ROWS)
    spec = bundle.spec.model_copy(update={"per_step": False})
    errors = []
    for version, lengths in zip(versions, short, strict=True):
        answers = load(version, _windows(bundle, chosen, lengths), only=["serving_default"])
        prediction = _prediction(answers["serving_default"], bundle, version)
        if len(prediction) != len(chosen):
            raise ExportError(f"version '{version}' gave {len(prediction)} answers to {len(chosen)} windows.")
        answered = points(prepared.series, chosen, spec, prediction)
        errors.append(score(answered, spec, bundle.experiment, part="test")[MEASURES[spec.task][0].name])
    return errors


def _takes_lengths(version: Path) -> bool:
    return bool(read_metadata(version)["variable_length"])


def _whole(index: WindowIndex, bundle: Bundle) -> Any:
    """Index of the windows as long as the model's window."""
    whole = np.flatnonzero(index.length >= bundle.spec.time)
    if not len(whole):
        raise ExportError(
            f"one of both takes no lengths, and none of {len(index)} test windows has all {bundle.spec.time} steps."
        )
    return index.take(whole)


def _windows(bundle: Bundle, chosen: Any, lengths: bool) -> Arrays:
    """Test windows as a version takes them."""
    from keras_seq.export.samples import window_arrays

    spec = bundle.spec.model_copy(update={"variable_length": lengths})
    return window_arrays(bundle.prepared.series, spec, chosen.start, chosen.length)


def _prediction(answers: Arrays, bundle: Bundle, version: Path) -> Any:
    """Point predictions of a version, as the metrics take them."""
    task = TASKS[bundle.spec.task]
    name, width = task.output, task.width(len(bundle.spec.targets), len(bundle.spec.classes))
    if name not in answers:
        raise ExportError(f"version '{version}' answers {', '.join(sorted(answers))}, the candidate '{name}'.")
    if answers[name].shape[-1] != width:
        given = answers[name].shape[-1]
        raise ExportError(f"version '{version}' gives {given} numbers a window, the candidate {width}.")
    return answers[name]
