"""One engine a format: named arrays in, named arrays out, and the text a file holds of itself."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_seq.errors import ModelError

KEY = "keras_seq"
Arrays = dict[str, np.ndarray]


class Engine(Protocol):
    """What runs a file."""

    described: dict[str, Any]

    def run(self, values: np.ndarray, lengths: np.ndarray) -> Arrays:
        """Answers by name for ``values (batch, time, features)`` and ``lengths (batch,)``."""


class OnnxEngine:
    """ONNX Runtime on the CPU.

    Args:
        path: the file.
        threads: of one call. One is fastest for small models: more wait for each other.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class of its own for every failure
            raise _unreadable(path, "ONNX", error) from None
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.described = _parsed(metadata.get(KEY), path)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.takes_lengths = any(argument.name == "lengths" for argument in self.session.get_inputs())

    def run(self, values: np.ndarray, lengths: np.ndarray) -> Arrays:
        """Answers by name for ``values (batch, time, features)``, all rows in one call."""
        inputs = {"values": values, "lengths": lengths} if self.takes_lengths else {"values": values}
        return dict(zip(self.outputs, self.session.run(self.outputs, inputs), strict=True))


class TfliteEngine:
    """The TFLite interpreter of ai-edge-litert, or TensorFlow's where that is not installed.

    Args:
        path: the file.
        threads: of one call.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                self.described = _parsed(archive.read(f"{KEY}.json").decode(), path)
        except (OSError, KeyError, zipfile.BadZipFile):
            raise _foreign(path) from None
        kind, resolver = _interpreter()
        try:
            self.interpreter = kind(
                model_path=str(path),
                num_threads=threads,
                experimental_op_resolver_type=resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self.interpreter.allocate_tensors()
            runner = self.interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise _unreadable(path, "TFLite", error) from None
        arguments, answers = runner.get_input_details(), runner.get_output_details()
        self.inputs = {name: detail["index"] for name, detail in arguments.items()}
        self.outputs = {name: detail["index"] for name, detail in answers.items()}
        self.window = np.zeros(arguments["values"]["shape"], np.float32)

    def run(self, values: np.ndarray, lengths: np.ndarray) -> Arrays:
        """Answers by name for ``values (batch, time, features)``, row by row: the file has batch 1 and a fixed time."""
        rows = [self._one(row, length) for row, length in zip(values, lengths, strict=True)]
        return {name: np.concatenate([row[name] for row in rows]) for name in self.outputs}

    def _one(self, values: np.ndarray, length: np.ndarray) -> Arrays:
        interpreter, window = self.interpreter, self.window
        steps = min(len(values), window.shape[1])
        window[0, :steps], window[0, steps:] = values[:steps], 0.0
        interpreter.reset_all_variables()  # fused LSTMs keep their state between calls
        interpreter.set_tensor(self.inputs["values"], window)
        if "lengths" in self.inputs:
            interpreter.set_tensor(self.inputs["lengths"], length.reshape(1))
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in self.outputs.items()}


def _interpreter() -> tuple[Any, Any]:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter, OpResolverType
    return Interpreter, OpResolverType


def _parsed(text: str | None, path: Path) -> dict[str, Any]:
    if text is None:
        raise _foreign(path)
    return json.loads(text)


def _foreign(path: Path) -> ModelError:
    return ModelError(f"'{path}' was not written by keras_seq: it does not say what it takes. Export the bundle again.")


def _unreadable(path: Path, kind: str, error: Exception) -> ModelError:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return ModelError(f"'{path}' cannot be loaded as {kind}: {line[:300].rstrip('.')}. Export the bundle again.")


ENGINES: dict[str, Callable[[Path, int], Engine]] = {".onnx": OnnxEngine, ".tflite": TfliteEngine}
