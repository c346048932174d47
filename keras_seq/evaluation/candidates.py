"""Candidates of a comparison: a bundle, or several runs (seeds, folds, origins) of one model."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keras_seq import config
from keras_seq.errors import ConfigError, DataError, KerasSeqError, ModelError

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle

ScoredPart = Literal["test", "validation"]


@dataclass(frozen=True)
class Candidate:
    """A model in a comparison, with its runs.

    Attributes:
        name: as in tables.
        bundles: its runs; those of one seed that differ in fold (or origin) are pieces of one replicate
            where their judged parts are put together.
    """

    name: str
    bundles: tuple[Bundle, ...]

    @property
    def first(self) -> Bundle:
        """The run that stands for it where one will do (latency, size)."""
        return self.bundles[0]

    def replicates(self, *, union: bool) -> list[list[Bundle]]:
        """Runs whose answers lie side by side, grouped: by seed for a union of folds, else one by one."""
        if not union:
            return [[bundle] for bundle in self.bundles]
        by_seed: dict[int, list[Bundle]] = {}
        for bundle in self.bundles:
            by_seed.setdefault(bundle.experiment.seed, []).append(bundle)
        return list(by_seed.values())


@dataclass(frozen=True)
class Failure:
    """A run of the candidate ``name`` that could not take part, and why."""

    name: str
    folder: str
    reason: str


@dataclass(frozen=True)
class Candidates:
    """Models that are compared, runs that were left out, and the part that metrics are of.

    Attributes:
        models: at least two.
        part: part of each run's own split.
        union: pieces (folds, origins) of one seed are put together.
        failures: runs left out.
    """

    models: tuple[Candidate, ...]
    part: ScoredPart
    union: bool
    failures: list[Failure] = field(default_factory=list)


def gather(words: Sequence[str], overrides: Mapping[str, Any], *, part: ScoredPart | None = None) -> Candidates:
    """Load every candidate and refuse those that cannot be compared.

    Args:
        words: ``[NAME=]PATH[,PATH...]``: bundle or run folders, or a folder of runs (``crossval``, ``backtest``).
        overrides: dotted ``data.*``, ``evaluation.*`` and ``tracking.*`` values that replace those of every bundle.
        part: what is judged; none: the held-out folds where all candidates come in folds and none is an ensemble
            over folds, else the test part.

    Raises:
        ModelError: fewer than two candidates are left; names the failed ones.
        ConfigError, DataError: they differ in data, split, task, targets or horizon, or have seen what they would be
            judged on; names what.
    """
    failures: list[Failure] = []
    candidates = []
    for name, paths in _named(words):
        bundles = _bundles(name, paths, overrides, failures)
        if bundles:
            candidates.append(Candidate(name, tuple(bundles)))
    if len(candidates) < 2:
        reasons = " ".join(f"{failure.folder}: {failure.reason}" for failure in failures)
        raise ModelError(
            f"A comparison needs at least two contenders, {len(candidates)} can be read. {reasons}".strip()
        )
    chosen, union = _part(candidates, part)
    for candidate in candidates:
        for bundle in candidate.bundles:
            refuse_seen(bundle, chosen, candidate.name)
    gathered = Candidates(tuple(candidates), chosen, union, failures)
    check_alike(gathered)
    return gathered


def run_folders(path: Path) -> list[Path]:
    """The run folders that ``path`` stands for: itself, or the finished runs below it.

    Raises:
        ModelError: there is none.
    """
    if (path / "manifest.json").exists() or (path / "bundle" / "manifest.json").exists():
        return [path]
    runs = sorted(run for run in path.glob("seed-*") if run.is_dir())
    if not runs:
        raise ModelError(
            f"'{path}' is neither a bundle nor a folder of runs (seed-*). Give the folder that "
            "'python -m keras_seq.train' or '... crossval' named at its end, such as runs/caster/seed-0."
        )
    return runs


def check_alike(candidates: Candidates) -> None:
    """Refuse candidates of different questions: task, targets, horizon, cap, data or split.

    Raises:
        ConfigError: names the option, and both candidates with their values.
        DataError: names the candidates whose data or split differ.
    """
    reference = candidates.models[0]
    for candidate in candidates.models:
        for bundle in candidate.bundles:
            _check_question(reference, candidate, bundle)
    for what, key, mend in (
        ("data", "fingerprint", "Train both on the same file with the same data.* options."),
        ("split", "split", "Train both with the same data.split.* options (and folds)."),
    ):
        wanted = _fingerprints(reference, key)
        for candidate in candidates.models[1:]:
            if key == "fingerprint" and candidate.first.spec.features != reference.first.spec.features:
                continue  # other inputs to the same question: that the truth is the same is seen point by point
            if _fingerprints(candidate, key) != wanted:
                raise DataError(
                    f"'{reference.name}' and '{candidate.name}' have different {what}: fingerprints "
                    f"{_short(wanted)} and {_short(_fingerprints(candidate, key))}. {mend}"
                )


def _check_question(reference: Candidate, candidate: Candidate, bundle: Bundle) -> None:
    first, second = reference.first, bundle
    for option, wanted, own in (
        ("data.task", first.spec.task, second.spec.task),
        ("data.targets", first.spec.targets, second.spec.targets),
        ("data.windows.horizon", first.spec.horizon, second.spec.horizon),
        ("data.target_cap", first.experiment.data.target_cap, second.experiment.data.target_cap),
        ("evaluation.at", first.experiment.evaluation.at, second.experiment.evaluation.at),
        ("evaluation.min_steps", first.experiment.evaluation.min_steps, second.experiment.evaluation.min_steps),
    ):
        if wanted != own:
            raise ConfigError(
                f"'{reference.name}' and '{candidate.name}' ({bundle.folder}) answer different questions: {option} is "
                f"{_text(wanted)} for the first and {_text(own)} for the second. Compare models of one question"
                + (f", or give both the same with --{option}." if option.startswith("evaluation.") else ".")
            )


def _named(words: Sequence[str]) -> Iterable[tuple[str, list[Path]]]:
    """Name and paths of each word; names made unique by as much of the path as it takes."""
    split = [word.partition("=") if "=" in word else ("", "", word) for word in words]
    paths = [[Path(path) for path in text.split(",") if path] for _, _, text in split]
    named = [name or _label(of_word) for (name, _, _), of_word in zip(split, paths, strict=True)]
    for number, name in enumerate(named):
        if named.count(name) > 1:
            named[number] = f"{name} #{named[:number].count(name) + 1}"
    seen: set[str] = set()
    for name, of_word in zip(named, paths, strict=True):
        if not of_word:
            raise ConfigError(f"Contender '{name}' names no folder; write [NAME=]FOLDER[,FOLDER...].")
        if name in seen:
            raise ConfigError(f"Two contenders are called '{name}'; name them apart: NAME=FOLDER.")
        seen.add(name)
        yield name, of_word


def _label(paths: Sequence[Path]) -> str:
    path = paths[0].parent if paths[0].name == "bundle" else paths[0]
    return f"{path.parent.name}/{path.name}" if path.name.startswith("seed-") and path.parent.name else path.name


def _bundles(name: str, paths: Sequence[Path], overrides: Mapping[str, Any], failures: list[Failure]) -> list[Bundle]:
    bundles: list[Bundle] = []
    for path in paths:
        with _noting(name, path, failures):
            for folder in run_folders(path):
                with _noting(name, folder, failures):
                    bundles.append(_load(folder, overrides))
    return bundles


@contextlib.contextmanager
def _noting(name: str, path: Path, failures: list[Failure]) -> Iterator[None]:
    """Add a failure of the block to ``failures`` instead of raising it."""
    try:
        yield
    except (KerasSeqError, OSError, ValueError) as error:
        failures.append(Failure(name, str(path), str(error).splitlines()[0]))


def _load(folder: Path, overrides: Mapping[str, Any]) -> Bundle:
    from keras_seq.bundle import load_bundle

    bundle = load_bundle(folder)
    if not overrides:
        return bundle
    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), dict(overrides)))
    return dataclasses.replace(bundle, experiment=experiment)


def _part(candidates: Sequence[Candidate], part: ScoredPart | None) -> tuple[ScoredPart, bool]:
    splits = [bundle.experiment.data.split for candidate in candidates for bundle in candidate.bundles]
    if all(split.origins for split in splits):
        return part or "test", True  # each origin has a test part of its own
    in_folds = all(split.folds for split in splits)
    if part is None:
        seen = any(saw_validation(bundle) for candidate in candidates for bundle in candidate.bundles)
        part = "validation" if in_folds and not seen else "test"
    return part, in_folds and part == "validation"


def saw_validation(bundle: Bundle) -> bool:
    """Whether it is an ensemble whose members were trained on, or whose rule was learnt from, its validation part."""
    return bool(bundle.data.get("ensemble", {}).get("saw_validation", False))


def refuse_seen(bundle: Bundle, part: str, name: str) -> None:
    """Refuse to judge an ensemble on units that its members or weights have seen.

    Raises:
        ConfigError: says which part can be judged, and where the out-of-fold metrics are.
    """
    if part != "test" and saw_validation(bundle):
        raise ConfigError(
            f"Option '--part {part}': '{name}' is an ensemble whose members or weights have seen these units, so its "
            "answers there mean nothing. Use --part test; its out-of-fold metrics are the 'validation' of its "
            "metrics.json."
        )


def _fingerprints(candidate: Candidate, key: str) -> set[str]:
    return {str(bundle.data.get(key, "missing")) for bundle in candidate.bundles}


def _short(fingerprints: set[str]) -> str:
    shown = ", ".join(sorted(text[:8] for text in fingerprints)[:3])
    return f"{shown}, ... ({len(fingerprints)})" if len(fingerprints) > 3 else shown


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return "none" if value is None else f"{value}"
