"""A PyTorch network as a bundle."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config, files, machine
from keras_seq.errors import ConfigError
from keras_seq.figures import Say

if TYPE_CHECKING:
    from keras_seq.pipeline.context import Run
    from keras_seq.torch_import.mapping import WeightMap
    from keras_seq.torch_import.read import Weights

FAMILIES = ("lstm", "gru", "bilstm", "cnn_lstm", "attention_lstm")


def bring(
    weights: Weights,
    experiment: config.Experiment,
    output: str | Path,
    weight_map: WeightMap,
    *,
    check: str | Path | None = None,
    say: Say = print,
) -> Run:
    """Prepare the data, build the model, fill it, judge it, and write the run.

    Args:
        weights: of the network, as ``read_weights`` gives them.
        experiment: data and the equivalent model.
        output: run folder; the bundle lands in ``output/bundle``.
        weight_map: names of layers and their weights.
        check: windows and answers, see ``keras_seq.torch_import.check``.
        say: where progress goes.

    Raises:
        KerasSeqError: anything a user can mend; nothing has been written then.
    """
    folder, experiment = _check_early(experiment, output)
    from keras_seq import tracking
    from keras_seq.data.prepare import prepare
    from keras_seq.models.build import build_model
    from keras_seq.pipeline.context import RunContext
    from keras_seq.pipeline.finalize import finalize
    from keras_seq.reports import summary
    from keras_seq.torch_import.check import check_answers
    from keras_seq.torch_import.importing import import_weights
    from keras_seq.torch_import.mapping import scaled_as
    from keras_seq.training.device import session
    from keras_seq.training.fit import FitResult

    with session(experiment.training, seed=experiment.seed) as device:
        prepared = prepare(experiment.data)
        prepared = dataclasses.replace(prepared, spec=scaled_as(prepared.spec, weight_map))
        model = build_model(experiment.model, prepared.spec, fast_lstm=experiment.training.fast_lstm)
        imported = import_weights(model, weights, weight_map)
        say(imported.to_markdown())
        about: dict[str, Any] = {"imported": imported.to_dict()}
        if Path(imported.source).is_file():
            about["imported"]["sha256"] = files.sha256(imported.source)
        if check:
            parity = check_answers(model, check)
            about["imported"]["parity"] = dataclasses.asdict(parity)
            say(f"parity: {parity.windows} windows, largest difference {parity.largest:.2g} (limit {parity.limit:.2g})")
        result = FitResult(history={}, best_epoch=0, seconds=math.nan, device=device, stopped="imported")
        files.ensure_writable(folder)
        with tracking.track(experiment, run_name=folder.name, kind="training") as tracker:
            tracker.log_params(tracking.flatten(config.to_dict(experiment)))
            return finalize(RunContext(experiment, prepared, folder, tracker, summary.say), model, result, about=about)


def _check_early(experiment: config.Experiment, output: str | Path) -> tuple[Path, config.Experiment]:
    """Refuse what can be refused before data are read; the run folder and the resolved experiment."""
    from keras_seq.export.saved_model import check_version
    from keras_seq.models.registry import get_family, names, resolve_experiment
    from keras_seq.models.xla_flags import prepare_environment

    family = experiment.model.family
    if family not in FAMILIES:
        if family not in names():
            get_family(family)  # says which is meant
        raise ConfigError(
            f"Option 'model.family': weights of PyTorch can be imported into {', '.join(FAMILIES)}, got '{family}'."
        )
    if experiment.export.saved_model:
        base = Path(experiment.export.saved_models) / experiment.name
        check_version(base, experiment.export.version)
    prepare_environment()
    machine.load_tensorflow()
    return Path(output), resolve_experiment(experiment)
