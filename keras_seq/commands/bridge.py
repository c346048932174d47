"""A PyTorch network as a bundle: ``python -m keras_seq.bridge WEIGHTS --config FILE --output RUN``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from keras_seq import cli, config
from keras_seq.pipeline.import_torch import FAMILIES, bring

DESCRIPTION = f"""Import the weights of an equivalent PyTorch network and leave a bundle like that of a training run.

  python -m keras_seq.bridge model.safetensors --config configs/cmapss_fd001.yaml --output runs/from_torch
  python -m keras_seq.bridge model.npz --config my.yaml --map names.yaml --check answers.npz --output runs/from_torch

Families: {", ".join(FAMILIES)}. PyTorch is not needed. The configuration describes the data and the same network;
single options can be given behind it (--model.units 50). docs/migrate_pytorch.md goes through it step by step.
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.bridge", description=DESCRIPTION, keys=("",))
    parser.add_argument("weights", help="state dict as .safetensors or .npz")
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML of the experiment: data and network")
    parser.add_argument("--output", required=True, metavar="RUN", help="run folder to write, e.g. runs/from_torch")
    parser.add_argument("--map", metavar="FILE", help="YAML: names, tensors to leave out, epsilon, scalers")
    parser.add_argument("--check", metavar="FILE", help=".npz of values[, lengths] and answer that must come out")
    return parser


@cli.command("keras_seq.bridge")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options, rest = make_parser().parse_known_args(argv)
    experiment = config.load(options.config, cli.read_overrides(rest))
    from keras_seq.torch_import.mapping import read_map
    from keras_seq.torch_import.read import read_weights

    weight_map, weights = read_map(options.map), read_weights(options.weights)
    return cli.Result(bring(weights, experiment, options.output, weight_map, check=options.check).to_dict())


if __name__ == "__main__":
    sys.exit(cli.run(main))
