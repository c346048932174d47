"""keras_seq: from a table of signals over time to a trained, proved and served sequence model.

Importing this package (or any of ours) does not import TensorFlow; the public names load it when
first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Experiment": "keras_seq.config",
    "load_config": "keras_seq.config:load",
    "KerasSeqError": "keras_seq.errors",
    "load_series": "keras_seq.data.sources",
    "prepare": "keras_seq.data.prepare",
    "build_model": "keras_seq.models.build",
    "register": "keras_seq.models.registry",
    "load_bundle": "keras_seq.bundle",
}

__all__ = ["__version__", *_PUBLIC]

__path__.append(f"{__path__[0]}/commands")  # python -m keras_seq.train runs keras_seq/commands/train.py


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'keras_seq' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
