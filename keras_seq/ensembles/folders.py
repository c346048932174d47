"""Members of cross-validations: the bundles below each crossval folder, by family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_seq.ensembles.members import Member, Say, load_members, require
from keras_seq.errors import ConfigError


def crossval_families(folders: Sequence[str | Path], say: Say) -> tuple[dict[str, list[Member]], list[dict[str, str]]]:
    """Members by family from folders that ``keras_seq.crossval`` wrote (``seed-*-fold-*/bundle``).

    Returns:
        Family label to members, and ``{"path", "reason"}`` of bundles that cannot be opened. Two folders of one
        family get the folder's name as label.

    Raises:
        ConfigError: a folder without folds, or folds of different numbers.
    """
    families: dict[str, list[Member]] = {}
    failed: list[dict[str, str]] = []
    for folder in map(Path, folders):
        paths = sorted(folder.glob("seed-*-fold-*"))
        if not paths:
            raise ConfigError(
                f"--crossval: '{folder}' holds no runs of a cross-validation (seed-*-fold-*); give the folder that "
                "'python -m keras_seq.crossval --folds K' wrote, or bundles without --crossval."
            )
        members, bad = load_members(paths, say)
        families[_label(folder, members, families)] = members
        failed += bad
    require(sum(map(len, families.values())), failed)
    _check_folds(families)
    return families, failed


def _label(folder: Path, members: Sequence[Member], taken: dict[str, list[Member]]) -> str:
    family = members[0].bundle.experiment.model.family
    if family not in taken:
        return family
    return folder.name if folder.name not in taken else str(folder)


def _check_folds(families: dict[str, list[Member]]) -> None:
    counts = {
        name: {member.bundle.experiment.data.split.folds for member in members} for name, members in families.items()
    }
    every = set().union(*counts.values())
    if len(every) > 1:
        text = "; ".join(f"'{name}': {', '.join(map(str, sorted(numbers)))}" for name, numbers in counts.items())
        raise ConfigError(f"--crossval: the folders were cross-validated over different numbers of folds ({text}).")
