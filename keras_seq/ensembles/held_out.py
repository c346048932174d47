"""Held-out predictions of the members: of one validation part, or out of fold over a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_seq.config import DataConfig, EvaluationConfig, Experiment
from keras_seq.data.prepare import Prepared, prepare, prepare_series
from keras_seq.data.split_assignment import fold_blocks
from keras_seq.data.windows import WindowIndex
from keras_seq.ensembles.learn import Int
from keras_seq.ensembles.members import Member, Say, predict_member, require
from keras_seq.ensembles.rules import Array
from keras_seq.errors import ConfigError, DataError, ModelError
from keras_seq.models.views import last_step
from keras_seq.training.predictions import locate

BLOCKS = 5  # groups of validation units, each answered by a rule learnt on the others


@dataclass(frozen=True)
class MemberGroup:
    """Members that answer together by their mean: one bundle, or all folds and seeds of a family."""

    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class HeldOut:
    """Held-out predictions that a combination rule is learnt from.

    Attributes:
        prepared: the data; ``index["validation"]`` numbers the windows predicted.
        groups: who predicted.
        predictions: ``(groups, points, ...)`` in the order of the windows.
        truth: ``(points, ...)``, capped as in training; class numbers ``(points,)``.
        blocks: group of units, or stretch of time, of each point; folds where there are folds.
        teach: points with a known truth and enough steps seen, ``(points,)``.
        failed: members left out, ``{"path", "reason"}``.
    """

    prepared: Prepared
    groups: tuple[MemberGroup, ...]
    predictions: Array
    truth: Array
    blocks: Int
    teach: np.ndarray
    failed: tuple[dict[str, str], ...]


def view_of(member: Member, per_step: bool) -> Any:
    """The member's model with the answers wanted: at every step, or at the last."""
    return member.bundle.model if per_step else last_step(member.bundle.model)


def from_validation(members: Sequence[Member], experiment: Experiment, say: Say) -> HeldOut:
    """Predictions of one validation part that all members share.

    Raises:
        ModelError: fewer than two members answer.
        ConfigError: the data now are not those the members were trained on.
    """
    prepared = prepare(experiment.data)
    _check_split(members, prepared)
    groups: list[MemberGroup] = []
    rows: list[Array] = []
    failed: list[dict[str, str]] = []
    for member in members:
        try:
            rows.append(_predict(member, prepared, experiment.data))
            groups.append(MemberGroup(member.name, (member,)))
        except ModelError as error:
            failed.append({"path": str(member.bundle.folder), "reason": str(error)})
            say(f"  left out: {error}")
    require(len(groups), failed)
    truth, unit, row, teach = _truth(prepared, prepared.index["validation"], experiment)
    blocks = _blocks(prepared, unit, row)
    return HeldOut(prepared, tuple(groups), np.stack(rows), truth, blocks, teach, tuple(failed))


def from_folds(families: dict[str, Sequence[Member]], experiment: Experiment, say: Say) -> HeldOut:
    """Out-of-fold predictions: every unit by the models that did not train on it.

    Args:
        families: members by family; of each, folds and seeds.
        experiment: of the first member; its fold is replaced.
        say: tells who was left out.

    Returns:
        ``prepared`` of fold 0 with the validation windows of all folds, fold by fold; ``blocks`` are the folds.

    Raises:
        ModelError: fewer than two members are left.
        ConfigError: a fold that no member of any family held out.
    """
    folds = experiment.data.split.folds
    first = prepare(_fold(experiment.data, 0))
    prepared = [first, *(prepare_series(first.series, _fold(experiment.data, fold)) for fold in range(1, folds))]
    groups: list[MemberGroup] = []
    rows: list[Array] = []
    failed: list[dict[str, str]] = []
    for name, members in families.items():
        working, predictions = _out_of_fold(members, prepared, experiment, failed, say)
        missing = [fold for fold in range(folds) if not predictions[fold]]
        if missing:
            reason = f"no working model for fold {', '.join(map(str, missing))} of {folds}"
            failed.append({"path": name, "reason": reason})
            say(f"  left out: family '{name}': {reason}")
            continue
        groups.append(MemberGroup(name, tuple(working)))
        rows.append(np.concatenate([np.mean(predictions[fold], axis=0) for fold in range(folds)]))
    require(sum(len(group.members) for group in groups), failed)
    index = _join([fold_data.index["validation"] for fold_data in prepared])
    joined = dataclasses.replace(first, index={**first.index, "validation": index})
    truth, _, _, teach = _truth(joined, index, experiment)
    sizes = [len(_truth(fold_data, fold_data.index["validation"], experiment)[0]) for fold_data in prepared]
    blocks = np.repeat(np.arange(folds), sizes)
    return HeldOut(joined, tuple(groups), np.stack(rows), truth, blocks, teach, tuple(failed))


def _out_of_fold(
    members: Sequence[Member],
    prepared: Sequence[Prepared],
    experiment: Experiment,
    failed: list[dict[str, str]],
    say: Say,
) -> tuple[list[Member], list[list[Array]]]:
    """Members that answer, and by fold their predictions of the units held out."""
    working: list[Member] = []
    predictions: list[list[Array]] = [[] for _ in prepared]
    for member in members:
        try:
            _check_split([member], prepared[member.fold])
            predictions[member.fold].append(_predict(member, prepared[member.fold], experiment.data))
            working.append(member)
        except ModelError as error:
            failed.append({"path": str(member.bundle.folder), "reason": str(error)})
            say(f"  left out: {error}")
    return working, predictions


def _predict(member: Member, prepared: Prepared, data: DataConfig) -> Array:
    spec = prepared.spec
    view = view_of(member, spec.per_step)
    return predict_member(member, view, prepared, "validation", spec=spec, data=data)


def _fold(data: DataConfig, fold: int) -> DataConfig:
    return data.model_copy(update={"split": data.split.model_copy(update={"fold": fold})})


def _check_split(members: Sequence[Member], prepared: Prepared) -> None:
    for member in members:
        if member.bundle.experiment.data.split.bootstrap is not None:
            continue  # its training units are a resample; data and shares were compared
        try:
            member.bundle.check_data(prepared)
        except DataError:
            raise ConfigError(
                f"The data or split now differ from those member '{member.name}' was trained on, so units it has seen "
                "could pass for held out. Restore the data or the data.* options, or train it again."
            ) from None


def _truth(
    prepared: Prepared, index: WindowIndex, experiment: Experiment
) -> tuple[Array, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, unit, row of every answer, and whether it may teach."""
    spec, evaluation = prepared.spec, experiment.evaluation
    truth, unit, row = locate(prepared.series, index, spec)
    known = np.isfinite(truth).reshape(len(truth), -1).all(axis=1)
    if spec.per_step:
        known &= row >= np.repeat(index.first, index.length)
    steps = row - prepared.series.offsets[unit] + 1
    known &= _enough(known, steps, evaluation)
    if spec.classifies:
        return np.where(known, truth[..., 0], 0), unit, row, known
    cap = experiment.data.target_cap
    return truth if cap is None else np.minimum(truth, cap), unit, row, known


def _enough(known: np.ndarray, steps: np.ndarray, evaluation: EvaluationConfig) -> np.ndarray:
    """Steps that are judged; all where none has seen enough."""
    enough: np.ndarray = steps >= evaluation.min_steps
    return enough if (enough & known).any() else np.ones(len(steps), bool)


def _blocks(prepared: Prepared, unit: np.ndarray, row: np.ndarray) -> Int:
    """Groups of units, never divided; stretches of time where there are fewer than two groups."""
    groups = np.unique(prepared.series.groups, return_inverse=True)[1].reshape(-1)[unit]
    names, number = np.unique(groups, return_inverse=True)
    if len(names) >= 2:
        folds = min(BLOCKS, len(names))
        rng = np.random.default_rng(0)
        return fold_blocks(np.arange(len(names)), folds, rng)[number.reshape(-1)]
    rank = np.argsort(np.argsort(row, kind="stable"), kind="stable")
    return (rank * min(BLOCKS, len(row)) // len(row)).astype(np.int64)


def _join(parts: Sequence[WindowIndex]) -> WindowIndex:
    names = ("start", "length", "target", "unit", "first")
    return WindowIndex(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
