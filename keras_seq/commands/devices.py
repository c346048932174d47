"""What TensorFlow can compute on here, and whether recurrent layers use cuDNN: ``python -m keras_seq.devices``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from keras_seq import cli, machine
from keras_seq.errors import DeviceError

DESCRIPTION = """List the devices that TensorFlow sees and check which kernels recurrent layers get.

  python -m keras_seq.devices
  python -m keras_seq.devices --verify-cudnn     exit code 2 unless an LSTM and a GRU run in cuDNN (needs a GPU)
"""


def make_parser() -> cli.Parser:
    """The options of the command."""
    parser = cli.Parser(prog="python -m keras_seq.devices", description=DESCRIPTION)
    parser.add_argument("--verify-cudnn", action="store_true", help="fail unless LSTM and GRU layers run in cuDNN")
    return parser


@cli.command("keras_seq.devices")
def main(argv: Sequence[str]) -> cli.Result:
    """Command line."""
    options = make_parser().parse_args(argv)
    from keras_seq.models.xla_flags import prepare_environment

    prepare_environment()
    machine.load_tensorflow()
    from keras_seq.training.placement import device_lines, kernel, kind, recurrent_layers, verify_cudnn

    devices = list(device_lines())
    model = _probe()
    kernels = {kind(layer): kernel(layer, jit=False) for layer in recurrent_layers(model)}
    try:
        cudnn, error = verify_cudnn(model), None
    except DeviceError as problem:
        cudnn, error = str(problem), problem
    lines = [*devices, *(f"{name}: {path}" for name, path in kernels.items()), cudnn]
    fields = {"devices": devices, "kernels": kernels, "cudnn": error is None}
    shown = lines[:-1] if error and options.verify_cudnn else lines
    return cli.Result(fields, "\n".join(shown), error if options.verify_cudnn else None)


def _probe() -> Any:
    """One LSTM and one GRU layer as the model families have them."""
    import keras

    from keras_seq.models.blocks import recurrent_layer
    from keras_seq.models.body import Steps

    x = values = keras.Input((None, 3), name="values")
    for name in ("lstm", "gru"):
        x = recurrent_layer(name, 4, name=name, steps=Steps(4, False, True))(x)
    return keras.Model({"values": values}, x)


if __name__ == "__main__":
    sys.exit(cli.run(main))
