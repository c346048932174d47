"""The training path: check early, prepare the data, train or fit, finalize."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq import config, files, machine
from keras_seq.errors import ConfigError
from keras_seq.figures import Say, silent
from keras_seq.pipeline.context import Run, RunContext, run_folder

if TYPE_CHECKING:
    import keras

    from keras_seq.data.prepare import Prepared
    from keras_seq.training.fit import FitResult
    from keras_seq.training.single_process import SingleProcess


def train(experiment: config.Experiment, *, quiet: bool = False) -> Run:
    """Run an experiment from data to bundle.

    Several workers (``keras_seq.training.distribute.connect``) call this alike; only the chief judges and writes, and
    the others' run has no metrics.

    Args:
        experiment: the whole configuration.
        quiet: print nothing.

    Returns:
        The run; ``run.metrics`` holds validation, test, baseline, ceiling and performance.

    Raises:
        KerasSeqError: anything a user can mend, before long work starts where it can be known.
    """
    from keras_seq.reports import summary
    from keras_seq.training import distribute

    group = distribute.current_group()
    say = summary.say if group.chief and not quiet else silent
    folder, experiment = _check_early(experiment, group)
    from keras_seq import tracking
    from keras_seq.models.registry import get_family
    from keras_seq.training.device import session

    with (
        tracking.track(experiment, run_name=folder.name, kind="training") as tracker,
        session(experiment.training, seed=experiment.seed),
    ):
        tracker.log_params(tracking.flatten(config.to_dict(experiment)))
        context = RunContext(experiment, _prepare(experiment, say), folder, tracker, say)
        if get_family(experiment.model.family).fit is None:
            model, result = _train(context)
            say(
                f"trained on {result.device} in {result.seconds:.0f} s, stopped by {result.stopped}, "
                f"weights of the {experiment.training.keep} epoch, {result.best_epoch}"
            )
        else:
            model, result = _fit(context)
            say(f"fitted {experiment.model.family} in {result.seconds:.0f} s")
        run = Run(folder, folder / "bundle", None, {}, None)
        if group.chief:
            from keras_seq.pipeline.finalize import finalize

            with distribute.single_process():
                run = finalize(context, model, result)
        group.barrier()  # all workers end well, or none
        return run


def _check_early(experiment: config.Experiment, group: SingleProcess) -> tuple[Path, config.Experiment]:
    """Refuse what can be refused before data are read; the run folder and the resolved experiment."""
    from keras_seq.export.saved_model import check_version
    from keras_seq.models.registry import names, resolve_experiment
    from keras_seq.models.xla_flags import prepare_environment
    from keras_seq.training.device import choose_device

    if experiment.model.family in names():  # a wrong name is answered before TensorFlow loads
        prepare_environment()
        machine.load_tensorflow()
    experiment = resolve_experiment(experiment)
    _check_strategy(experiment, group)
    if not group.chief:  # writes and records nothing
        silent = experiment.tracking.model_copy(update={"backend": "none", "tensorboard": False})
        return run_folder(experiment), experiment.model_copy(update={"tracking": silent})
    folder = files.ensure_writable(run_folder(experiment))
    if experiment.export.saved_model:
        base = Path(experiment.export.saved_models) / experiment.name
        check_version(base, experiment.export.version)
        files.ensure_writable(base)
    choose_device(experiment.training.device)
    return folder, experiment


def _check_strategy(experiment: config.Experiment, group: SingleProcess) -> None:
    """Refuse to share what is fitted at once."""
    from keras_seq.models.registry import get_family

    family, strategy = experiment.model.family, experiment.training.strategy
    if get_family(family).fit is not None and (group.size > 1 or strategy in ("mirrored", "multi_worker")):
        raise ConfigError(
            f"Family '{family}' is fitted at once by one process and cannot be shared "
            f"({f'{group.size} workers' if group.size > 1 else f'training.strategy={strategy}'}). Train it without "
            "--workers and TF_CONFIG, with training.strategy=none."
        )


def _prepare(experiment: config.Experiment, say: Say) -> Prepared:
    from keras_seq.data.prepare import prepare
    from keras_seq.data.statistics import class_shares
    from keras_seq.evaluation.answer_columns import columns_for

    start = time.perf_counter()
    prepared = prepare(experiment.data)
    schema = prepared.series.schema
    names = columns_for(prepared.spec, schema, clock=schema.time_column, levels=experiment.model.quantiles)
    series, index = prepared.series, prepared.index
    counts = ", ".join(f"{len(part.start)} {name}" for name, part in index.items())
    say(
        f"data: {series.schema.name}, {series.n_units} units, {len(series.schema.features)} features; "
        f"windows: {counts} ({time.perf_counter() - start:.1f} s)"
    )
    if prepared.spec.task == "binary":
        shares = ", ".join(f"{name} {share:.1%}" for name, share in class_shares(series).items())
        say(f"  classes: {shares}; positive: {(prepared.spec.classes or ('0', '1'))[1]}")
    for line in prepared.quality.warnings:
        say(f"  warning: {line}")
    if names.joints > 1 or names.lead:  # said here, not after an hour of training
        shown = names.derived() or [names.word("class"), names.word("probability")]
        say(f"  note: columns of the data have names of answers; answers will be {', '.join(shown[:2])}, ...")
    return prepared


def _fit(context: RunContext) -> tuple[keras.Model, FitResult]:
    """Trees, ridge, state-space models: fitted at once, without epochs."""
    from keras_seq.models.registry import get_family
    from keras_seq.training.fit import FitResult

    start, fit = time.perf_counter(), get_family(context.experiment.model.family).fit
    model = fit(context.experiment, context.prepared, context.say)  # type: ignore[misc]
    seconds = time.perf_counter() - start
    return model, FitResult(history={}, best_epoch=0, seconds=seconds, device="CPU", stopped="fitted")


def _train(context: RunContext) -> tuple[keras.Model, FitResult]:
    from keras_seq.models.build import build_model
    from keras_seq.training.fit import fit

    experiment, prepared, training = context.experiment, context.prepared, context.experiment.training
    model = build_model(
        experiment.model, prepared.spec, rematerialise=training.rematerialise, fast_lstm=training.fast_lstm
    )
    result = fit(
        experiment,
        model,
        prepared,
        context.folder,
        quiet=context.quiet,
        keep_state=True,  # finalize, which takes as long as some epochs, removes it
        on_epoch=lambda epoch, row: context.tracker.log_metrics(row, step=epoch),
    )
    return model, result
