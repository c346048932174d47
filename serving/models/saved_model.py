"""Any SavedModel through a TensorFlow session, as TensorFlow Serving runs it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving.contract import checks
from serving.contract.signatures import NUMPY, Signature
from serving.contract.status import Code, Refused
from serving.models import graph, tensorflow_codes
from serving.models.servable import Arrays
from serving.models.settings import ManagerSettings

_LOADING = threading.Lock()  # TensorFlow's import is not safe from several threads at once


class SavedModel:
    """A version in a ``tf.compat.v1.Session``; attributes as ``Servable`` has them.

    Every signature and choice of outputs has a callable of its own, which is what makes calls fast: 0.03 ms where
    ``Session.run`` takes 0.15 (a two-operation graph). Its errors name the graph's nodes as TensorFlow Serving's do.

    Args:
        name: of the model.
        version: its number.
        folder: that holds ``saved_model.pb``.
        settings: tags and threads.

    Raises:
        Refused: it cannot be loaded; code and text of TensorFlow's loader.
    """

    rowwise = False  # nobody has proved it
    fast = False

    def __init__(self, name: str, version: int, folder: Path, settings: ManagerSettings) -> None:
        self.name, self.version = name, version
        described = graph.describe(folder, settings.saved_model_tags)
        self.signatures: Mapping[str, Signature] = described.signatures
        self.metadata, self.signature_protos = described.metadata, described.signature_protos
        self._calls = dict[tuple[str, tuple[str, ...] | None], _Call]()
        self._session = _open(folder, settings)

    def run(self, signature: str, inputs: Arrays, outputs: Sequence[str] | None = None) -> Arrays:
        """See ``Servable.run``."""
        key = (signature, None if outputs is None else tuple(outputs))
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = self._prepare(signature, outputs)
        feeds = call.arrange(inputs)
        try:
            answers = call.function(*feeds)
        except Exception as error:  # whatever the graph's operations raise
            raise tensorflow_codes.refused(error) from None
        return {name: _array(answer) for name, answer in zip(call.outputs, answers, strict=True)}

    def close(self) -> None:
        """See ``Servable.close``."""
        self._calls.clear()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _prepare(self, name: str, outputs: Sequence[str] | None) -> _Call:
        signature = self.signatures.get(name)
        if signature is None:
            raise Refused(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        for output in outputs or ():
            if output not in signature.outputs:
                raise checks.unknown_output(signature, output)
        aliases = tuple(outputs) if outputs else tuple(signature.outputs)
        if self._session is None:
            raise Refused(Code.UNAVAILABLE, f"Version {self.version} of {self.name} is unloaded")
        return _Call.of(self._session, signature, aliases)


@dataclass(frozen=True)
class _Call:
    """Callable of one signature with one choice of outputs.

    Attributes:
        function: takes the arrays of ``inputs`` in their order, gives the answers of ``outputs`` in theirs.
        inputs: alias, type's name in TensorFlow, numpy's type and place among the sorted tensors.
        outputs: aliases.
    """

    function: Any
    inputs: tuple[tuple[str, str, np.dtype | None, int], ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, session: Any, signature: Signature, outputs: tuple[str, ...]) -> _Call:
        from tensorflow.core.protobuf import config_pb2  # the session's own class: TensorFlow is imported anyway

        tensors = sorted(info.name for info in signature.inputs.values())
        inputs = tuple(
            (alias, info.dtype, _numpy(info.dtype), tensors.index(info.name))
            for alias, info in signature.inputs.items()
        )
        options = config_pb2.CallableOptions(
            feed=[info.name for info in signature.inputs.values()],
            fetch=[signature.outputs[alias].name for alias in outputs],
        )
        try:
            return cls(session._make_callable_from_options(options), inputs, outputs)
        except Exception as error:  # a signature that names tensors which the graph does not have
            raise tensorflow_codes.refused(error) from None

    def arrange(self, inputs: Arrays) -> list[np.ndarray]:
        """The arrays in the order of the feeds; their types are checked, their shapes are the graph's business."""
        feeds = []
        for alias, dtype, expected, place in self.inputs:
            array = inputs.get(alias)
            if array is None:
                raise checks.missing_input((each[0] for each in self.inputs), alias)
            if (
                expected is not None
                and array.dtype != expected
                and not (expected.hasobject and array.dtype.kind == "S")
            ):
                raise tensorflow_codes.wrong_type(place, dtype, array)
            feeds.append(array)
        return feeds


def _open(folder: Path, settings: ManagerSettings) -> Any:
    """A session with the graph, its variables restored, its initialiser run."""
    with _LOADING:
        import tensorflow as tf

    v1 = tf.compat.v1
    session = v1.Session(graph=tf.Graph(), config=v1.ConfigProto(**_threads(settings)))
    try:
        with session.graph.as_default(), _Quiet(tf):
            v1.saved_model.load(session, list(settings.saved_model_tags), str(folder))
    except BaseException as error:
        session.close()
        raise _not_loaded(error, folder) from None
    return session


def _threads(settings: ManagerSettings) -> dict[str, int]:
    both = settings.tensorflow_session_parallelism
    return {
        "intra_op_parallelism_threads": both or settings.tensorflow_intra_op_parallelism,
        "inter_op_parallelism_threads": both or settings.tensorflow_inter_op_parallelism,
    }


class _Quiet:
    """Silences the loader's advice to use another loader."""

    def __init__(self, tf: Any) -> None:
        self._logger = tf.get_logger()

    def __enter__(self) -> None:
        self._logger.addFilter(_no_advice)

    def __exit__(self, *error: object) -> None:
        self._logger.removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    return "deprecated" not in record.getMessage()


def _not_loaded(error: BaseException, folder: Path) -> BaseException:
    """What the loader raised, in the words of TensorFlow Serving's own where they differ."""
    if isinstance(error, Refused) or not isinstance(error, Exception):
        return error
    if not (folder / "variables" / "variables.index").exists() and "checkpoint" in str(error):
        where = folder / "variables" / "variables"
        return Refused(
            Code.NOT_FOUND,
            f"Unsuccessful TensorSliceReader constructor: Failed to find any matching files for {where}",
        )
    refusal = tensorflow_codes.refused(error)
    return refusal if getattr(error, "error_code", None) is not None else Refused(Code.UNKNOWN, refusal.message)


def _numpy(dtype: str) -> np.dtype | None:
    import ml_dtypes  # noqa: F401  makes "bfloat16" a type of numpy

    return np.dtype(NUMPY[dtype]) if dtype in NUMPY else None


def _array(answer: object) -> np.ndarray:
    """Array of an answer: scalars come as numpy's or, of strings, as bytes."""
    if isinstance(answer, np.ndarray):
        return answer
    if isinstance(answer, bytes | str):
        scalar = np.empty((), object)
        scalar[()] = answer if isinstance(answer, bytes) else answer.encode()
        return scalar
    return np.asarray(answer)
