"""A PyTorch network as a bundle: ``python -m keras_seq.bridge WEIGHTS --config FILE --output RUN``."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import cli, config, files
from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    from keras_seq.bridge.mapping import WeightMap
    from keras_seq.bridge.read import Weights
    from keras_seq.train import Run

FAMILIES = ("lstm", "gru", "bilstm", "cnn_lstm", "attention_lstm")
DESCRIPTION = f"""Import the weights of an equivalent PyTorch network and leave a bundle like that of a training run.

  python -m keras_seq.bridge model.safetensors --config configs/cmapss_fd001.yaml --output runs/from_torch
  python -m keras_seq.bridge model.npz --config my.yaml --map names.yaml --check answers.npz --output runs/from_torch

Families: {", ".join(FAMILIES)}. PyTorch is not needed. The configuration describes the data and the same network;
single options can be given behind it (--model.units 50). docs/migrate_pytorch.md goes through it step by step.
"""


def parser() -> cli.Parser:
    """Of the command line."""
    made = cli.Parser(prog="python -m keras_seq.bridge", description=DESCRIPTION, keys=("",))
    made.add_argument("weights", help="state dict as .safetensors or .npz")
    made.add_argument("--config", required=True, metavar="FILE", help="YAML of the experiment: data and network")
    made.add_argument("--output", required=True, metavar="RUN", help="run folder to write, e.g. runs/from_torch")
    made.add_argument("--map", metavar="FILE", help="YAML: names, tensors to leave out, epsilon, scalers")
    made.add_argument("--check", metavar="FILE", help=".npz of values[, lengths] and answer that must come out")
    return made


def bring(
    weights: Weights,
    experiment: config.Experiment,
    output: str | Path,
    given: WeightMap,
    *,
    check: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> Run:
    """Prepare the data, build the model, fill it, judge it, and write the run.

    Args:
        weights: of the network, as ``read_weights`` gives them.
        experiment: data and the equivalent model.
        output: run folder; the bundle lands in ``output/bundle``.
        given: the map.
        check: windows and answers, see ``keras_seq.bridge.check``.
        say: where progress goes.

    Raises:
        KerasSeqError: anything a user can mend; nothing has been written then.
    """
    folder, experiment = _check_early(experiment, output)
    from keras_seq import tracking
    from keras_seq.bridge.check import check_answers
    from keras_seq.bridge.importing import import_weights
    from keras_seq.bridge.mapping import scaled_as
    from keras_seq.data.prepare import prepare
    from keras_seq.models.registry import build_model
    from keras_seq.training.device import session
    from keras_seq.training.fit import FitResult
    from keras_seq.wrap_up import wrap_up

    with session(experiment.training, seed=experiment.seed) as device:
        prepared = prepare(experiment.data)
        prepared = dataclasses.replace(prepared, spec=scaled_as(prepared.spec, given))
        model = build_model(experiment.model, prepared.spec, fast_lstm=experiment.training.fast_lstm)
        imported = import_weights(model, weights, given)
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
        with tracking.track(experiment, run_name=folder.name) as tracker:
            tracker.log_params(tracking.flatten(config.to_dict(experiment)))
            return wrap_up(experiment, prepared, model, result, folder, tracker, about=about)


def _check_early(experiment: config.Experiment, output: str | Path) -> tuple[Path, config.Experiment]:
    """Refuse what can be refused before data are read; the run folder and the resolved experiment."""
    from keras_seq.export.saved_model import check_version
    from keras_seq.models.registry import get_family, names, resolve_experiment
    from keras_seq.training.device import prepare_environment

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
    cli.load_tensorflow()
    return Path(output), resolve_experiment(experiment)


@cli.command("keras_seq.bridge")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = parser().parse_known_args(argv)
    experiment = config.load(options.config, cli.read_overrides(rest))
    from keras_seq.bridge.mapping import read_map
    from keras_seq.bridge.read import read_weights

    given, weights = read_map(options.map), read_weights(options.weights)
    return cli.Result(bring(weights, experiment, options.output, given, check=options.check).to_dict())


if __name__ == "__main__":
    sys.exit(cli.run(main))
