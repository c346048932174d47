"""Versions that ``keras_seq.export`` wrote, answered by their proved ONNX twin: no TensorFlow, a tenth of the time.

A twin is used where the files are those of the manifest (sha256) and the version's own parity report says that ONNX
answers as the model does. It answers

* ``serving_default`` through ``model.onnx``,
* ``serving_examples``, ``classify`` and ``regress`` through the same, the examples decoded in numpy,
* ``step`` through ``step.onnx``.

Whatever signature it does not know runs through TensorFlow, loaded when it is first called.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import files
from keras_seq.errors import ModelError
from serving.contract import checks
from serving.contract.signatures import DEFAULT, Signature
from serving.contract.status import Code, Refused, invalid
from serving.models import examples, graph, tensorflow_codes
from serving.models.servable import Arrays, Servable
from serving.models.settings import ManagerSettings

# of keras_seq.export.record and keras_seq.export.version, which import more than a server needs
MANIFEST, METADATA, PARITY = (f"keras_seq/{name}.json" for name in ("manifest", "metadata", "parity"))
MODEL, STEP = "keras_seq/model.onnx", "keras_seq/step.onnx"
PROVING = (METADATA, PARITY, MODEL, "saved_model.pb")
FAST_SECONDS = 1e-3  # of one row; below, a thread of its own costs more than it saves
Answer = Callable[[Arrays, Sequence[str]], Arrays]


class NoTwinError(Exception):
    """A version cannot be served through ONNX.

    Attributes:
        broken: it says that it could be, but its files do not bear it out.
    """

    def __init__(self, reason: str, *, broken: bool = False) -> None:
        super().__init__(reason)
        self.broken = broken


class OnnxTwin:
    """A version through its ONNX twin; attributes as ``Servable`` has them.

    Args:
        name: of the model.
        version: its number.
        folder: that holds ``saved_model.pb`` and ``keras_seq/``.
        settings: tags, threads.

    Raises:
        NoTwinError: there is no twin, or none that is proved; TensorFlow must serve it.
        Refused: the SavedModel itself cannot be read.
    """

    runtime = "ONNX"  # in metrics
    rowwise = True  # the parity report compares rows in a batch and on their own

    def __init__(self, name: str, version: int, folder: Path, settings: ManagerSettings) -> None:
        self.name, self.version = name, version
        about = _proved(folder)
        described = graph.describe(folder, settings.saved_model_tags)
        self.signatures: Mapping[str, Signature] = described.signatures
        self.metadata, self.signature_protos = described.metadata, described.signature_protos
        self._folder, self._settings = folder, settings
        self._other: Servable | None = None
        self._lock = threading.Lock()
        self._features = tuple(feature["name"] for feature in about["features"])
        self._time, self._about = int(about["time"]), about
        self._model = _TwinGraph(folder / MODEL, settings.onnx_threads)
        wanted = self.signatures.get(DEFAULT)
        if wanted is None or set(wanted.inputs) != set(self._model.inputs):
            raise NoTwinError("the ONNX file takes other inputs than the SavedModel", broken=True)
        if not set(wanted.outputs) <= set(self._model.outputs):
            raise NoTwinError("the ONNX file gives other answers than the SavedModel", broken=True)
        self._answers = self._all_answers(folder)
        self.fast = self._seconds() < FAST_SECONDS

    def run(self, signature: str, inputs: Arrays, outputs: Sequence[str] | None = None) -> Arrays:
        """See ``Servable.run``."""
        answer = self._answers.get(signature)
        if answer is None:
            return self._tensorflow(signature).run(signature, inputs, outputs)
        known = self.signatures[signature]
        for output in outputs or ():
            if output not in known.outputs:
                raise checks.unknown_output(known, output)
        _check_types(known, inputs)
        return answer(inputs, outputs or tuple(known.outputs))

    def close(self) -> None:
        """See ``Servable.close``."""
        self._answers = {}
        with self._lock:
            if self._other is not None:
                self._other.close()

    # -- signatures ----------------------------------------------------------------------------------------------

    def _all_answers(self, folder: Path) -> dict[str, Answer]:
        """How each signature that is known is answered."""
        answers: dict[str, Answer] = {DEFAULT: self._model.run}
        of_examples: dict[str, Answer] = {"serving_examples": self._serialized, "regress": self._regress}
        if self._can_classify():
            of_examples["classify"] = self._classify
        for name, answer in of_examples.items():
            if name in self.signatures and len(self.signatures[name].inputs) == 1:
                answers[name] = answer
        if "step" in self.signatures and (folder / STEP).is_file():
            step = _TwinGraph(folder / STEP, self._settings.onnx_threads)
            known = self.signatures["step"]
            if set(step.inputs) == set(known.inputs) and set(known.outputs) <= set(step.outputs):
                answers["step"] = step.run
        return answers

    def _can_classify(self) -> bool:
        outputs = self._model.outputs
        return "probability" in outputs or ("probabilities" in outputs and bool(self._about.get("classes")))

    def _serialized(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        return self._model.run(self._read(inputs, examples.read_sequences), outputs)

    def _of_examples(self, inputs: Arrays, output: str) -> np.ndarray:
        return self._model.run(self._read(inputs, examples.read_examples), (output,))[output]

    def _read(
        self, inputs: Arrays, read: Callable[[np.ndarray, Sequence[str]], tuple[np.ndarray, np.ndarray]]
    ) -> Arrays:
        """The graph's inputs of serialized examples."""
        (serialized,) = inputs.values()
        if "lengths" not in self._model.inputs:
            return {"values": examples.read_windows(serialized, self._features, self._time)}
        values, lengths = read(serialized, self._features)
        return {"values": values, "lengths": lengths}

    def _regress(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        return {"outputs": self._of_examples(inputs, "prediction")}

    def _classify(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        if "probability" in self._model.outputs:
            scores = self._of_examples(inputs, "probability")
            scores = np.concatenate([1 - scores, scores], axis=1)
        else:
            scores = self._of_examples(inputs, "probabilities")
        names = [str(name).encode() for name in self._about.get("classes") or ("0", "1")]
        classes = np.empty((len(scores), len(names)), object)
        classes[:] = names
        answers = {"scores": scores, "classes": classes}
        return {output: answers[output] for output in outputs}

    # -- beside ONNX ---------------------------------------------------------------------------------------------

    def _tensorflow(self, signature: str) -> Servable:
        """The whole version in TensorFlow, for a signature that the twin does not know."""
        if signature not in self.signatures:
            raise Refused(Code.FAILED_PRECONDITION, f'Serving signature key "{signature}" not found.')
        with self._lock:
            if self._other is None:
                from serving.models.saved_model import SavedModel

                self._other = SavedModel(self.name, self.version, self._folder, self._settings)
            return self._other

    def _seconds(self) -> float:
        """Latency of one row of full length in seconds, the best of several runs."""
        window: Arrays = {"values": np.zeros((1, self._time, len(self._features)), np.float32)}
        if "lengths" in self._model.inputs:
            window["lengths"] = np.full(1, self._time, np.int32)
        best = math.inf
        for _ in range(20):
            began = time.perf_counter()
            self._model.run(window, self._model.outputs)
            best = min(best, time.perf_counter() - began)
        return best


class _TwinGraph:
    """One ONNX file, its inputs checked before ONNX Runtime sees them.

    ONNX Runtime ends the whole process where a fused recurrent layer is given no rows, so an empty batch is answered
    here; and its texts name nodes nobody knows.

    Attributes:
        inputs: shape by name, None where free.
        outputs: names.
    """

    def __init__(self, path: Path, threads: int) -> None:
        from keras_seq.runtime.engines import OnnxEngine

        try:
            self._session = OnnxEngine(path, threads).session
        except (ModelError, ImportError) as error:
            raise NoTwinError(str(error), broken=True) from None
        self.inputs = {
            node.name: tuple(size if isinstance(size, int) else None for size in node.shape)
            for node in self._session.get_inputs()
        }
        # an ONNX graph cannot give an answer the name of an input: the state after a step is next_state_*
        after = {f"next_{name}": name for name in self.inputs}
        self._answers = {after.get(answer.name, answer.name): answer for answer in self._session.get_outputs()}
        self.outputs = tuple(self._answers)

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """The answers of these names; inputs that the file does not know are left out."""
        feeds, rows = {}, -1
        for name, expected in self.inputs.items():
            array = inputs[name]
            shape = array.shape
            if len(shape) != len(expected) or any(
                size is not None and size != got for size, got in zip(expected, shape, strict=True)
            ):
                raise _incompatible(name, shape, expected)
            if rows >= 0 and shape[0] != rows and not (name == "lengths" and shape[0] == 1):
                raise _incompatible(name, shape[:1], (rows,))
            rows = max(rows, shape[0])
            feeds[name] = array
        if not rows:
            return {name: self._empty(name) for name in outputs}
        if any(0 in array.shape for array in feeds.values()):
            raise invalid("Tried to stack elements of an empty list: there is no time step to answer from")
        try:
            arrays = self._session.run([self._answers[name].name for name in outputs], feeds)
        except Exception as error:  # ONNX Runtime has a class of its own for every failure
            line = next(iter(str(error).strip().splitlines()), "")
            raise invalid(f"The model refuses these inputs: {line.rpartition('Status Message: ')[2][:500]}") from None
        return dict(zip(outputs, arrays, strict=True))

    def _empty(self, name: str) -> np.ndarray:
        """An answer for no rows."""
        answer = self._answers[name]
        dtype = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}.get(answer.type)
        if dtype is None:
            raise Refused(Code.INVALID_ARGUMENT, "There is no row to answer for")
        sizes = tuple(size if isinstance(size, int) else 0 for size in answer.shape[1:])
        return np.zeros((0, *sizes), dtype)


def _proved(folder: Path) -> dict[str, Any]:
    """Metadata of a version whose ONNX twin is proved to answer as it does.

    Raises:
        NoTwinError: not written by ``keras_seq.export``, changed since, or ONNX did not pass.
    """
    if not (folder / MODEL).is_file() or not (folder / MANIFEST).is_file():
        raise NoTwinError("it has no ONNX file and manifest of keras_seq.export")
    try:
        known = dict(files.read_json(folder / MANIFEST)["files"])
        parity, about = files.read_json(folder / PARITY), files.read_json(folder / METADATA)
        passed = any(report["format"] == "onnx" and report["passed"] is True for report in parity["formats"])
        complete = {"features", "time", "task"} <= set(about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoTwinError(f"its manifest, metadata or parity report cannot be read ({error})", broken=True) from None
    if not passed or not complete:
        raise NoTwinError("its parity report does not say that ONNX answers as the model does")
    here = [name for name in known if name.startswith("variables/")] + [STEP] * (STEP in known)
    for name in (*PROVING, *here):
        if not (folder / name).is_file() or files.sha256(folder / name) != known.get(name):
            raise NoTwinError(f"its file '{name}' is not the one of the manifest", broken=True)
    if STEP not in known and (folder / STEP).exists():
        raise NoTwinError(f"its file '{STEP}' was added after the export", broken=True)
    return dict(about)


def _check_types(signature: Signature, inputs: Arrays) -> None:
    """Refuse missing inputs and other types, as the session does."""
    for alias, info in signature.inputs.items():
        array = inputs.get(alias)
        if array is None:
            raise checks.missing_input(signature.inputs, alias)
        if not tensorflow_codes.fits(array.dtype, info.dtype):
            names = sorted(each.name for each in signature.inputs.values())
            raise tensorflow_codes.wrong_type(names.index(info.name), info.dtype, array)


def _incompatible(name: str, got: Sequence[int | None], expected: Sequence[int | None]) -> Refused:
    return invalid(f"Incompatible shapes: {_shape(got)} vs. {_shape(expected)}\n\t [[{{{{node {name}}}}}]]")


def _shape(shape: Sequence[int | None]) -> str:
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"
