"""From a raw file to a trained, saved sequence model: ``python -m keras_seq.train``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import cli, config, files

if TYPE_CHECKING:
    from keras_seq.data.prepare import Prepared
    from keras_seq.tracking import Tracker
    from keras_seq.training.fit import FitResult

DESCRIPTION = """Train a sequence model and leave a bundle, a record and a served version.

Without options: the continuous-casting study on generated data, no download.
  python -m keras_seq.train
  python -m keras_seq.train --config configs/cmapss_fd001.yaml --seed 1
  python -m keras_seq.train --data.source table --data.path my.csv --data.unit machine --data.targets '[wear]'

Killed or stopped, the same command goes on where it was.
"""


@dataclass(frozen=True)
class Run:
    """What ``train`` gives back: where things are and what was reached."""

    folder: Path
    bundle: Path
    saved_model: Path | None
    metrics: dict[str, Any]
    run_id: str | None


def run_folder(experiment: config.Experiment) -> Path:
    """``<output>/<name>/seed-<seed>[-fold-<fold>][-origin-<origin>]``."""
    split = experiment.data.split
    fold = f"-fold-{split.fold}" if split.folds else ""
    origin = f"-origin-{split.origin:02d}" if split.origins else ""
    return Path(experiment.output) / experiment.name / f"seed-{experiment.seed}{fold}{origin}"


def train(experiment: config.Experiment, *, quiet: bool = False) -> Run:
    """Run an experiment from data to bundle.

    Args:
        experiment: the whole configuration.
        quiet: print nothing.

    Returns:
        The run; ``run.metrics`` holds validation, test, baseline, ceiling and performance.

    Raises:
        KerasSeqError: anything a user can mend, before long work starts where it can be known.
    """
    from keras_seq.reports import summary

    say = (lambda text: None) if quiet else summary.say
    folder, experiment = _check_early(experiment)
    from keras_seq import tracking
    from keras_seq.models.registry import get_family
    from keras_seq.training.device import session

    with (
        tracking.track(experiment, run_name=folder.name) as tracker,
        session(experiment.training, seed=experiment.seed),
    ):
        tracker.log_params(tracking.flatten(config.to_dict(experiment)))
        prepared = _prepare(experiment, say)
        if get_family(experiment.model.family).fit is None:
            model, result = _train(experiment, prepared, folder, tracker, quiet=quiet)
            say(
                f"trained on {result.device} in {result.seconds:.0f} s, stopped by {result.stopped}, "
                f"best epoch {result.best_epoch}"
            )
        else:
            model, result = _fit(experiment, prepared, say)
            say(f"fitted {experiment.model.family} in {result.seconds:.0f} s")
        from keras_seq.wrap_up import wrap_up

        return wrap_up(experiment, prepared, model, result, folder, tracker, quiet=quiet)


def _check_early(experiment: config.Experiment) -> tuple[Path, config.Experiment]:
    """Refuse what can be refused before data are read; the run folder and the resolved experiment."""
    from keras_seq.export.saved_model import check_version
    from keras_seq.models.registry import names, resolve_experiment
    from keras_seq.training.device import choose_device, prepare_environment

    if experiment.model.family in names():  # a wrong name is answered before TensorFlow loads
        prepare_environment()
        cli.load_tensorflow()
    experiment = resolve_experiment(experiment)
    folder = files.ensure_writable(run_folder(experiment))
    if experiment.export.saved_model:
        base = Path(experiment.export.saved_models) / experiment.name
        check_version(base, experiment.export.version)
        files.ensure_writable(base)
    choose_device(experiment.training.device)
    return folder, experiment


def _prepare(experiment: config.Experiment, say: Any) -> Prepared:
    from keras_seq.data.prepare import prepare

    start = time.perf_counter()
    prepared = prepare(experiment.data)
    series, index = prepared.series, prepared.index
    counts = ", ".join(f"{len(part.start)} {name}" for name, part in index.items())
    say(
        f"data: {series.schema.name}, {series.n_units} units, {len(series.schema.features)} features; "
        f"windows: {counts} ({time.perf_counter() - start:.1f} s)"
    )
    for line in prepared.quality.warnings:
        say(f"  warning: {line}")
    return prepared


def _fit(experiment: config.Experiment, prepared: Prepared, say: Any) -> tuple[Any, FitResult]:
    """Trees, ridge, state-space models: fitted at once, without epochs."""
    from keras_seq.models.registry import get_family
    from keras_seq.training.fit import FitResult

    start = time.perf_counter()
    model = get_family(experiment.model.family).fit(experiment, prepared, say)  # type: ignore[misc]
    return model, FitResult(
        history={}, best_epoch=0, seconds=time.perf_counter() - start, device="CPU", stopped="fitted"
    )


def _train(
    experiment: config.Experiment, prepared: Prepared, folder: Path, tracker: Tracker, *, quiet: bool
) -> tuple[Any, FitResult]:
    from keras_seq.models.registry import build_model
    from keras_seq.training.fit import fit

    model = build_model(
        experiment.model,
        prepared.spec,
        rematerialise=experiment.training.rematerialise,
        fast_lstm=experiment.training.fast_lstm,
    )
    result = fit(
        experiment,
        model,
        prepared,
        folder,
        quiet=quiet,
        on_epoch=lambda epoch, row: tracker.log_metrics(row, step=epoch),
    )
    return model, result


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = cli.experiment_parser("keras_seq.train", DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, nothing else")
    options, experiment = cli.parse_experiment(parser, argv)
    run = train(experiment, quiet=options.json)
    if options.json:
        print(
            json.dumps(
                {
                    "bundle": str(run.bundle),
                    "saved_model": str(run.saved_model),
                    "run_id": run.run_id,
                    "metrics": run.metrics,
                },
                default=float,
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
