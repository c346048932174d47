"""The exported formats by name, and writing several of them so that one failure leaves the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seq.bundle import Bundle
from keras_seq.errors import ConfigError, KerasSeqError, nearest
from keras_seq.export.metadata import Source, source_of
from keras_seq.export.onnx import quantise_onnx, write_onnx
from keras_seq.export.tflite import write_tflite


@dataclass(frozen=True)
class Format:
    """What a format's copy may differ by.

    Attributes:
        file: name of its file.
        limit: of the difference, in deviations of the target or as probability.
        lossy: weights are rounded, so that the mean difference is held to the limit, not the largest one.
        mode: of TFLite.
    """

    file: str
    limit: float = 1e-5
    lossy: bool = False
    mode: str = ""


FORMATS = {
    "onnx": Format("model.onnx"),
    "onnx-int8": Format("model.int8.onnx", 0.1, True),
    "tflite": Format("model.tflite", mode="float32"),
    "tflite-float16": Format("model.float16.tflite", 0.01, True, "float16"),
    "tflite-dynamic": Format("model.dynamic.tflite", 0.1, True, "dynamic"),
    "tflite-int8": Format("model.int8.tflite", 0.2, True, "int8"),
}


def get_format(name: str) -> Format:
    """The format called ``name``.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if name not in FORMATS:
        raise ConfigError(f"There is no export format '{name}'{nearest(name, FORMATS)}")
    return FORMATS[name]


def write_formats(
    given: Bundle | Source,
    folder: str | Path,
    names: Sequence[str] = tuple(FORMATS),
    *,
    samples: Mapping[str, np.ndarray] | None = None,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Write a bundle in several formats.

    Args:
        given: a bundle, or a model with its spec.
        folder: takes the files.
        names: of ``FORMATS``.
        samples: real training windows for ``tflite-int8``; see ``keras_seq.export.samples``.

    Returns:
        The files by format, and why a format was not written.

    Raises:
        ConfigError: an unknown format.
    """
    known = {name: get_format(name) for name in names}
    source, written, failed = source_of(given), dict[str, Path](), dict[str, str]()
    for name, form in known.items():
        path = Path(folder) / form.file
        try:
            if name == "onnx":
                write_onnx(source, path)
            elif name == "onnx-int8":
                plain = written.get("onnx") or write_onnx(source, Path(folder) / FORMATS["onnx"].file).path
                quantise_onnx(plain, path)
            else:
                write_tflite(source, path, mode=form.mode, samples=dict(samples or {}))
            written[name] = path
        except KerasSeqError as error:
            failed[name] = str(error)
    return written, failed
