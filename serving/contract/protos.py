"""TensorFlow's and TensorFlow Serving's protobuf messages without importing TensorFlow.

``import tensorflow.core...`` runs ``tensorflow/__init__``: seconds and hundreds of MB for a few message classes.
Here the generated ``*_pb2.py`` files are executed as they lie in the installed package, their imports of one another
answered from a registry of our own. ``sys.modules`` is left alone, so nothing here can be in the way of a real
``import tensorflow`` before, after or at the same time. Both give the same classes: protobuf keeps one per message.

Messages generated into this package, or built from descriptors in a pool of their own, would be other classes than
TensorFlow's, which refuse each other; descriptors of our own in the common pool would keep another TensorFlow from
being imported. Neither is faster: 0.3 s for all messages and services, as with the files.

::

    from serving.contract import protos

    tensor = protos.load("tensorflow/core/framework/tensor_pb2").TensorProto()
    request = protos.apis("predict").PredictRequest()
    stub = protos.load("tensorflow_serving/apis/prediction_service_pb2_grpc").PredictionServiceStub(channel)
"""

from __future__ import annotations

import builtins
import importlib.util
import threading
from collections.abc import Mapping
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

from keras_seq.errors import ServingError

Message: TypeAlias = Any  # a protobuf message: its fields have no static types
_PACKAGES = ("tensorflow", "tensorflow_serving")
_loaded: dict[str, ModuleType] = {}
_lock = threading.RLock()


def load(path: str) -> ModuleType:
    """A generated module by its path in the installed packages, executed at most once. Thread-safe.

    Args:
        path: such as "tensorflow/core/framework/tensor_pb2"; dots do as well as slashes.

    Raises:
        ServingError: there is no such file in the installed packages.
    """
    name = path.replace("/", ".")
    module = _loaded.get(name)
    if module is None:
        with _lock:
            module = _loaded.get(name) or _execute(name)
    return module


def apis(name: str) -> ModuleType:
    """``tensorflow_serving/apis/<name>_pb2``: predict, classification, regression, model, get_model_status, ..."""
    return load(f"tensorflow_serving.apis.{name}_pb2")


def config(name: str) -> ModuleType:
    """``tensorflow_serving/config/<name>_pb2``: model_server_config, logging_config, ..."""
    return load(f"tensorflow_serving.config.{name}_pb2")


def framework(name: str) -> ModuleType:
    """``tensorflow/core/framework/<name>_pb2``: tensor, tensor_shape, types, graph, ..."""
    return load(f"tensorflow.core.framework.{name}_pb2")


def protobuf(name: str) -> ModuleType:
    """``tensorflow/core/protobuf/<name>_pb2``: meta_graph, saved_model, ..."""
    return load(f"tensorflow.core.protobuf.{name}_pb2")


def example() -> ModuleType:
    """``tensorflow/core/example/example_pb2``."""
    return load("tensorflow.core.example.example_pb2")


@cache
def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)  # of a top-level package: finds, does not run it
    if spec is None or not spec.submodule_search_locations:
        raise ServingError(
            f"The package '{package}' is not installed, but its protobuf messages are needed. "
            "Install 'tensorflow' and 'tensorflow-serving-api'."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _execute(name: str) -> ModuleType:
    package, _, rest = name.partition(".")
    file = _folder(package).joinpath(*rest.split(".")).with_suffix(".py") if package in _PACKAGES and rest else None
    if file is None or not file.is_file():
        raise ServingError(
            f"There are no protobuf messages '{name}' in the installed packages. Give a path such as "
            "'tensorflow_serving/apis/predict_pb2'."
        )
    module = ModuleType(name)
    module.__file__ = str(file)
    module.__package__ = name.rpartition(".")[0]
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
    code = SourceFileLoader(name, str(file)).get_code(name)  # from __pycache__ where possible
    exec(code, module.__dict__)  # type: ignore[arg-type]
    _loaded[name] = module
    return module


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: tuple[str, ...] = (),
    level: int = 0,
) -> Any:
    """``__import__`` of generated files: their own kind from here, anything else as usual."""
    if level or name.partition(".")[0] not in _PACKAGES or not fromlist:
        return builtins.__import__(name, globals, locals, fromlist, level)
    if "_pb2" in name.rpartition(".")[2]:  # from a.b_pb2 import *
        return load(name)
    return SimpleNamespace(**{each: load(f"{name}.{each}") for each in fromlist})
