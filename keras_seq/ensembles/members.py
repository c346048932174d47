"""Members of an ensemble: loaded bundles with the same task on the same data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq import files
from keras_seq.bundle import Bundle, load_bundle
from keras_seq.errors import ConfigError, KerasSeqError, ModelError
from keras_seq.figures import Say

if TYPE_CHECKING:
    import keras

    from keras_seq.config import DataConfig
    from keras_seq.data.prepare import Prepared
    from keras_seq.data.spec import DataSpec

FEWEST = 2


@dataclass(frozen=True)
class Member:
    """A loaded bundle with its place in the ensemble.

    Attributes:
        name: for tables: its run folder's last two parts.
        bundle: with its model.
    """

    name: str
    bundle: Bundle

    @property
    def fold(self) -> int:
        """The fold it held out."""
        return self.bundle.experiment.data.split.fold

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Levels of its answers, if they are quantiles."""
        return self.bundle.experiment.model.quantiles

    def record(self, weight: float | None = None) -> dict[str, Any]:
        """What the ensemble's bundle keeps of it."""
        experiment = self.bundle.experiment
        facts = {
            "name": self.name,
            "path": str(self.bundle.folder),
            "sha256": files.sha256(self.bundle.folder / "model.keras"),
            "family": experiment.model.family,
            "seed": experiment.seed,
            "fold": experiment.data.split.fold,
        }
        return facts if weight is None else facts | {"weight": weight}


def load_members(paths: Sequence[str | Path], say: Say) -> tuple[list[Member], list[dict[str, str]]]:
    """Open bundles with their models; one that cannot be opened is named and left out.

    Returns:
        The members in the order given, and ``{"path", "reason"}`` of those that failed.

    Raises:
        ModelError: fewer than two can be opened; carries the reasons.
    """
    members, failed = [], []
    for path in paths:
        try:
            bundle = load_bundle(path)
            _ = bundle.model
            members.append(Member(_name(bundle.folder), bundle))
        except KerasSeqError as error:
            failed.append({"path": str(path), "reason": str(error)})
            say(f"  left out: {path}: {error}")
    require(len(members), failed)
    return members, failed


def require(count: int, failed: Sequence[dict[str, str]]) -> None:
    """Refuse an ensemble of fewer than two members.

    Raises:
        ModelError: says how many are left and why the others are not.
    """
    if count < FEWEST:
        reasons = " ".join(f"'{row['path']}': {row['reason']}" for row in failed)
        raise ModelError(
            f"An ensemble needs at least {FEWEST} members that work, {count} {'is' if count == 1 else 'are'} left. "
            f"{reasons}".strip()
        )


def check_alike(members: Sequence[Member], *, across_folds: bool = False, resampled: bool = False) -> None:
    """Refuse members that answer different questions or were judged on different data.

    Scaling, history channels, architecture and steps per answer may differ: each member holds its own.

    Args:
        members: the first one is the measure of the others.
        across_folds: members of other folds of one split are wanted; only their test parts must agree.
        resampled: members learnt from resamples of the same training units; only the data must agree.

    Raises:
        ConfigError: names the two members, the setting and both values.
    """
    first = members[0]
    for other in members[1:]:
        mine, theirs = _question(first, other), _question(other, first)
        if across_folds or resampled:
            mine.pop("split (data and units)"), theirs.pop("split (data and units)")
        if across_folds:
            mine.pop("data.split"), theirs.pop("data.split")
        for what, value in mine.items():
            if theirs[what] != value:
                raise ConfigError(
                    f"Members '{first.name}' and '{other.name}' cannot be combined, their {what} differ: "
                    f"{_short(value)} and {_short(theirs[what])}. Leave one out, or train them alike."
                )


def _question(member: Member, other: Member) -> dict[str, Any]:
    """What must agree, by name."""
    bundle, data = member.bundle, member.bundle.experiment.data
    spec, windows = bundle.spec, data.windows.model_dump()
    if spec.per_step != other.bundle.spec.per_step:  # combined by their last step
        windows.pop("per_step")
    split = data.split.model_dump(exclude={"bootstrap"})
    return {
        "task": spec.task,
        "horizon": spec.horizon,
        "targets": spec.targets,
        "classes": spec.classes,
        "input features": spec.features,
        "windows (data.windows)": windows,
        "lengths (variable or fixed)": spec.variable_length,
        "quantiles (model.quantiles)": bundle.experiment.model.quantiles,
        "target cap (data.target_cap)": data.target_cap,
        "data (fingerprint)": bundle.data.get("fingerprint"),
        "data.split": split,
        "split (data and units)": bundle.data.get("split"),
    }


def predict_member(
    member: Member, view: keras.Model, prepared: Prepared, part: str, *, spec: DataSpec, data: DataConfig
) -> np.ndarray:
    """A member's predictions of a part, ``(points, ...)``.

    Raises:
        ModelError: it fails, or an answer is not a number.
    """
    from keras_seq.training.predictions import predict_windows

    try:
        predictions = predict_windows(view, prepared.series, prepared.index[part], spec, data)
    except Exception as error:  # whatever a foreign graph throws, the others go on
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"member '{member.name}' cannot answer: {reason}") from None
    bad = int((~np.isfinite(predictions)).sum())
    if bad:
        raise ModelError(f"member '{member.name}' gives {bad} of {predictions.size} answers that are not numbers")
    return predictions


def _name(folder: Path) -> str:
    run = folder.parent if folder.name == "bundle" else folder
    return "/".join(run.absolute().parts[-2:])


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 120 else f"{text[:117]}..."
