"""Several trained models as one."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config, files, machine
from keras_seq.errors import ConfigError, KerasSeqError, ModelError, nearest
from keras_seq.figures import Say, silent
from keras_seq.pipeline.reuse import DataNow, refuse_mixed

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from keras_seq.ensembles.held_out import HeldOut
    from keras_seq.ensembles.rules import Rule
    from keras_seq.pipeline.context import Run

FREE = ("data.home", "data.cache", "evaluation.", "tracking.", "export.", "training.device", "seed")


def ensemble(
    paths: Sequence[str | Path] = (),
    *,
    method: str,
    output: str | Path,
    crossval: Sequence[str | Path] = (),
    meta: str | None = None,
    memory: int = 8,
    overrides: dict[str, Any] | None = None,
    resampled: bool = False,
    quiet: bool = False,
) -> Run:
    """Combine bundles into one.

    Args:
        paths: bundles or run folders that share data, split and question.
        method: see ``keras_seq.ensembles.learn.METHODS``.
        output: run folder of the ensemble; the bundle lands in ``output/bundle``.
        crossval: instead of ``paths``: folders of cross-validations over the same folds.
        meta: linear learner of stacking and blending: ridge, logistic, or a class of sklearn.linear_model.
        memory: steps looked back on by dynamic weights.
        overrides: dotted options set over the first member's configuration.
        resampled: the members' training units are resamples of one split.
        quiet: print nothing.

    Returns:
        The run, as ``keras_seq.pipeline.train.train`` gives it; validation metrics are of held-out answers.

    Raises:
        ConfigError: members that do not go together; names them.
        ModelError: fewer than two members work; names the reasons.
    """
    _check_request(method, paths, crossval)
    machine.load_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a function per member is no needless retracing
    from keras_seq import tracking
    from keras_seq.ensembles.held_out import from_folds, from_validation
    from keras_seq.reports import summary
    from keras_seq.training.device import session

    say = silent if quiet else summary.say
    folder = files.ensure_writable(output)
    families, failed = _members(paths, crossval, say, resampled)
    everyone = [member for members in families.values() for member in members]
    experiment = _experiment(everyone, folder, bool(crossval), overrides or {})
    with (
        tracking.track(experiment, run_name=folder.name, kind="ensemble") as tracker,
        session(experiment.training, seed=experiment.seed),
    ):
        tracker.log_params({"method": method, "members": len(everyone), "name": experiment.name})
        held_out = from_folds(families, experiment, say) if crossval else from_validation(everyone, experiment, say)
        return _combine(held_out, experiment, method, meta, memory, folder, tracker, failed, say)


def _check_request(method: str, paths: Sequence[Any], crossval: Sequence[Any]) -> None:
    from keras_seq.ensembles.learn import METHODS

    if method not in METHODS:
        raise ConfigError(f"--method: there is no method '{method}'{nearest(method, METHODS)}")
    if bool(paths) == bool(crossval):
        raise ConfigError("Give either members (bundles) or --crossval FOLDER ..., not both and not none.")
    if method == "stacking" and not crossval:
        raise ConfigError(
            "--method stacking learns from out-of-fold predictions: give --crossval FOLDER FOLDER. For bundles that "
            "share one validation part the same learner is --method blending."
        )
    if method in ("blending", "dynamic") and crossval:
        raise ConfigError(f"--method {method} takes bundles, not --crossval; for folds use weighted or stacking.")


def _members(
    paths: Sequence[Any], crossval: Sequence[Any], say: Any, resampled: bool
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Members by family (each alone where there are no folds), and those that cannot be opened."""
    from keras_seq.ensembles.folders import crossval_families
    from keras_seq.ensembles.members import check_alike, load_members

    if crossval:
        families, failed = crossval_families(crossval, say)
    else:
        members, failed = load_members(paths, say)
        families = {str(number): [member] for number, member in enumerate(members)}
    everyone = [member for found in families.values() for member in found]
    check_alike(everyone, across_folds=bool(crossval), resampled=resampled)
    return families, failed


def _experiment(members: Sequence[Any], folder: Path, folds: bool, overrides: dict[str, Any]) -> config.Experiment:
    """The configuration of the ensemble: the first member's data and judging, a model of its own."""
    foreign = [name for name in overrides if not name.startswith(FREE)]
    if foreign:
        raise ConfigError(
            f"Option '--{foreign[0]}' cannot change trained members; --data.home, --evaluation.*, --tracking.* and "
            "--export.* can."
        )
    first = members[0].bundle.experiment
    tree = config.to_dict(first)
    tree["name"], tree["output"], tree["seed"] = folder.name, str(folder.parent), 0
    tree["model"] = {"family": "ensemble", "quantiles": list(first.model.quantiles)}
    tree["training"] = {"device": first.training.device}
    tree["export"]["saved_model"], tree["evaluation"]["baseline"] = True, False
    tree["data"]["split"]["bootstrap"] = None
    if not all(member.bundle.spec.per_step for member in members):
        tree["data"]["windows"]["per_step"] = False
    if folds:
        tree["data"]["split"]["fold"] = 0
        overrides = {**overrides, "evaluation.baseline": False}  # it would have seen the other folds' validation units
    return config.from_dict(config.override(tree, overrides))


def _combine(
    held_out: HeldOut,
    experiment: config.Experiment,
    method: str,
    meta: str | None,
    memory: int,
    folder: Path,
    tracker: Any,
    failed: Sequence[dict[str, str]],
    say: Say,
) -> Run:
    """Learn the rule, build the graph, judge and save."""
    from keras_seq.ensembles.enough import behind_a_member
    from keras_seq.ensembles.finish import describe, learn, member_metrics, settle
    from keras_seq.ensembles.graph import build_ensemble
    from keras_seq.pipeline.context import RunContext
    from keras_seq.pipeline.finalize import finalize
    from keras_seq.training.fit import FitResult

    asked, (method, notes) = method, settle(held_out, method, meta=meta)
    rule, honest = learn(held_out, method, meta=meta, memory=memory)
    spec = held_out.prepared.spec
    model = build_ensemble([[m.bundle.model for m in group.members] for group in held_out.groups], rule, spec)
    about = describe(held_out, rule, method, [*failed, *held_out.failed], member_metrics(held_out, experiment))
    about["ensemble"] |= {"asked": asked, "notes": notes}
    seconds = 60 * training_minutes([m for group in held_out.groups for m in group.members])
    result = FitResult(history={}, best_epoch=0, seconds=seconds, device="CPU", stopped="combined")
    held_out_predictions = {} if honest is None else {"validation": honest}
    context = RunContext(experiment, held_out.prepared, folder, tracker, say)
    run = finalize(context, model, result, held_out=held_out_predictions, about=about)
    worse = behind_a_member(spec.task, run.metrics["validation"], about["ensemble"]["groups"])
    for note in [*notes, *([worse] if worse else [])]:
        logger.info(f"  warning: {note}")
    if not context.quiet:
        _print_members(about, run, rule, say, spec.task)
    return run


def training_minutes(members: Sequence[Any]) -> float:
    """Minutes that all members took together; NaN where one of them does not say."""
    known = [member.bundle.metrics.get("performance", {}).get("training_minutes", math.nan) for member in members]
    return float(sum(known))


def _print_members(about: dict[str, Any], run: Run, rule: Rule, say: Say, task: str) -> None:
    from keras_seq.figures import figure
    from keras_seq.tasks import deciding

    name = deciding(task)
    say(f"\n  {name:<44}{'held out':>10}{'test':>10}{'weight':>10}")
    weights = rule.weights or ("",) * len(about["ensemble"]["groups"])
    for row, weight in zip(about["ensemble"]["groups"], weights, strict=True):
        shown = figure(weight, 3)
        parts = [row["metrics"][part][name] for part in ("validation", "test")]
        say(f"  {row['name'][:43]:<44}{figure(parts[0]):>10}{figure(parts[1]):>10}{shown:>10}")
    parts = [run.metrics[part][name] for part in ("validation", "test")]
    say(f"  {'ensemble':<44}{figure(parts[0]):>10}{figure(parts[1]):>10}")


def train_members(
    experiment: config.Experiment, *, method: str, count: int, output: str | Path, workers: int = 1, say: Any = print
) -> list[Path]:
    """Train the members of bagging or snapshot ensembles, each in a process of its own; finished ones are kept.

    - bagging (Breiman 1996): training units (whole groups) drawn with replacement, another seed each;
    - snapshot (Huang et al. 2017): the epochs divided into cycles of a cosine schedule, each starting from the
      weights that the one before it ended with.

    Returns:
        Run folders below ``output/members``; a member that fails is named and left out.

    Raises:
        ModelError: fewer than two members could be trained.
    """
    from keras_seq.models.registry import get_family

    machine.load_tensorflow()
    if method == "snapshot" and get_family(experiment.model.family).fit is not None:
        raise ConfigError(f"--method snapshot needs a family trained by epochs, got '{experiment.model.family}'.")
    base = config.replace(
        experiment,
        output=str(Path(output) / "members"),
        **{"export.saved_model": False, "evaluation.baseline": False},
    )
    reasons: list[str] = []
    now = DataNow()

    def failed(text: str) -> None:
        say(text)
        reasons.append(text)

    done = (_bag if method == "bagging" else _cycles)(base, count, workers, failed, now)
    refuse_mixed(done, "keras_seq.ensemble")
    if len(done) < 2:
        raise ModelError(f"An ensemble needs at least 2 members, {len(done)} could be trained.{''.join(reasons)}")
    return done


def _bag(base: config.Experiment, count: int, workers: int, failed: Any, now: DataNow) -> list[Path]:
    """Run folders of members trained on units drawn anew."""
    from concurrent.futures import ThreadPoolExecutor

    seeds = range(base.seed, base.seed + count)
    drawn = [config.replace(base, **{"seed": seed, "data.split.bootstrap": seed}) for seed in seeds]
    with ThreadPoolExecutor(workers) as pool:  # threads only wait for processes
        return [path for path in pool.map(lambda one: _attempt(one, workers, failed, now), drawn) if path is not None]


def _cycles(base: config.Experiment, count: int, workers: int, failed: Any, now: DataNow) -> list[Path]:
    """Run folders of cycles, each started from the one before it."""
    done: list[Path] = []
    for cycle in range(count):
        path = _attempt(_cycle(base, cycle, count, done[-1] if done else None), 1, failed, now)
        if path is not None:
            done.append(path)
    return done


def _attempt(experiment: config.Experiment, workers: int, failed: Any, now: DataNow) -> Path | None:
    """The run folder of a finished training, or None where it failed."""
    from keras_seq.models.registry import resolve_experiment
    from keras_seq.pipeline.crossval import train_apart

    try:
        return Path(train_apart(resolve_experiment(experiment), workers, now)["folder"])
    except KerasSeqError as error:
        failed(f"  left out: {error}")
        return None


def _cycle(base: config.Experiment, cycle: int, count: int, before: Path | None) -> config.Experiment:
    changes: dict[str, Any] = {
        "seed": base.seed + cycle,
        "training.epochs": max(1, base.training.epochs // count),
        "training.schedule": "cosine",
        "training.keep": "last",
    }
    if before is not None:
        changes |= {"training.warm_start": str(before / "bundle"), "training.warmup": 0.0}
    return config.replace(base, **changes)
