"""Load a file, check what it is given, run it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from keras_seq import files
from keras_seq.errors import ModelError
from keras_seq.runtime.contract import Contract
from keras_seq.runtime.engines import ENGINES, Engine


class Predictor:
    """A loaded file.

    Attributes:
        contract: what it takes; ``contract.described`` is all that the file says of itself.
    """

    def __init__(self, engine: Engine, contract: Contract) -> None:
        self._engine, self.contract = engine, contract

    def predict(
        self,
        values: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Final answers by name, one a window.

        Args:
            values: raw units, ``(batch, time, features)``, or a list of ``(time, features)`` of different lengths.
            lengths: real steps of each row ``(batch,)``; None: all of them.
            names: of the features on the last axis, to be checked.

        Returns:
            ``probability`` and ``class``; ``probabilities`` and ``class``; or ``prediction`` [``lower``, ``upper``,
            ``quantiles``], each ``(batch, ...)``.

        Raises:
            DataError: wrong shape, features, lengths, or missing values where none are allowed.
        """
        if names is not None:
            self.contract.check_names(names)
        return self._engine.run(*self.contract.check(values, lengths))


def load(path: str | Path, *, threads: int = 1, engine: str = "") -> Predictor:
    """Open a file that ``keras_seq.export`` wrote.

    Args:
        path: the file.
        threads: of one call; 1 is fastest for small models.
        engine: ``module:Class`` of the engine; "": the one of the suffix ``.onnx`` or ``.tflite``.

    Raises:
        ModelError: no such file, not ours, or changed since it was written.
    """
    path = Path(path)
    if not engine and path.suffix not in ENGINES:
        raise ModelError(f"'{path}' is neither an .onnx nor a .tflite file.")
    if not path.is_file():
        raise ModelError(f"There is no file '{path}'.")
    check_digest(path)
    module, _, name = engine.partition(":")
    make = getattr(import_module(module), name) if engine else ENGINES[path.suffix]
    opened: Engine = make(path, threads)
    return Predictor(opened, Contract.of(opened.described, path))


def check_digest(path: Path) -> None:
    """Compare with ``<file>.sha256`` and the folder's manifest, where they are."""
    if not files.is_as_written(path):
        raise ModelError(
            f"'{path}' was changed after it was written (its sha256 differs). Restore it from a copy "
            "or export the bundle again."
        )
