"""The exported formats: one entry holds a format's writer, file, parity limit and engine.

A new format is one entry of ``FORMATS``: commands, parity, gate, benchmark and compression read what they need of it
here. A file of a new kind names the engine that runs it, too; ``keras_seq.runtime`` knows those of ``.onnx`` and
``.tflite``. This module imports neither TensorFlow nor a converter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seq.errors import ConfigError, KerasSeqError, nearest

if TYPE_CHECKING:
    import numpy as np

    from keras_seq.bundle import Bundle
    from keras_seq.export.metadata import Source

    Windows = Mapping[str, np.ndarray]
    Write = Callable[[Source, Path, Windows, Mapping[str, Path]], object]


@dataclass(frozen=True)
class Format:
    """How a format is written, compared and run.

    Attributes:
        file: name of its file.
        write: writer; takes the source, the path, real training windows and the files written before, by format.
        limit: parity limit of the difference, in deviations of the target or as probability.
        lossy: weights are rounded, so that the mean difference is held to the limit, not the largest one.
        needs_samples: it cannot be written without real training windows.
        engine: ``module:Class`` of the ``keras_seq.runtime.engines.Engine`` that runs it; "": the one of its suffix.
    """

    file: str
    write: Write
    limit: float = 1e-5
    lossy: bool = False
    needs_samples: bool = False
    engine: str = ""


def _onnx(source: Source, path: Path, samples: Windows, written: Mapping[str, Path]) -> None:
    from keras_seq.export.onnx import write_onnx

    write_onnx(source, path)


def _onnx_int8(source: Source, path: Path, samples: Windows, written: Mapping[str, Path]) -> None:
    """The float file with rounded weights; it is written first where it was not asked for."""
    from keras_seq.export.onnx import quantise_onnx, write_onnx

    plain = written.get("onnx") or write_onnx(source, path.with_name(FORMATS["onnx"].file)).path
    quantise_onnx(plain, path)


def _tflite(mode: str) -> Write:
    """Writer of TFLite in one of the modes of ``write_tflite``."""

    def write(source: Source, path: Path, samples: Windows, written: Mapping[str, Path]) -> None:
        from keras_seq.export.tflite import write_tflite

        write_tflite(source, path, mode=mode, samples=dict(samples))

    return write


FORMATS = {
    "onnx": Format("model.onnx", _onnx),
    "onnx-int8": Format("model.int8.onnx", _onnx_int8, 0.1, lossy=True),
    "tflite": Format("model.tflite", _tflite("float32")),
    "tflite-float16": Format("model.float16.tflite", _tflite("float16"), 0.01, lossy=True),
    "tflite-dynamic": Format("model.dynamic.tflite", _tflite("dynamic"), 0.1, lossy=True),
    "tflite-int8": Format("model.int8.tflite", _tflite("int8"), 0.2, lossy=True, needs_samples=True),
}
WHOLE = ("saved_model", "keras")  # what a version holds beside those files
KINDS = (*WHOLE, *FORMATS)


def get_format(name: str) -> Format:
    """The format called ``name``.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if name not in FORMATS:
        raise ConfigError(f"There is no export format '{name}'{nearest(name, FORMATS)}")
    return FORMATS[name]


def check_kinds(names: Sequence[str]) -> tuple[str, ...]:
    """Names of ``KINDS``, each once.

    Raises:
        ConfigError: an unknown format; names the nearest.
    """
    for name in names:
        if name not in KINDS:
            raise ConfigError(f"There is no export format '{name}'{nearest(name, KINDS)}")
    return tuple(dict.fromkeys(names))


def need_samples(names: Sequence[str]) -> bool:
    """Whether one of the formats cannot be written without real training windows."""
    return any(name in FORMATS and FORMATS[name].needs_samples for name in names)


def write_formats(
    bundle: Bundle | Source,
    folder: str | Path,
    names: Sequence[str] = tuple(FORMATS),
    *,
    samples: Windows | None = None,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Write a bundle in several formats; one failure leaves the others.

    Args:
        bundle: a bundle, or a model with its spec.
        folder: takes the files.
        names: of ``FORMATS``.
        samples: real training windows; see ``keras_seq.export.samples`` and ``need_samples``.

    Returns:
        The files by format, and why a format was not written.

    Raises:
        ConfigError: an unknown format.
    """
    from keras_seq.export.metadata import source_of

    formats = {name: get_format(name) for name in names}
    source, written, failed = source_of(bundle), dict[str, Path](), dict[str, str]()
    for name, form in formats.items():
        path = Path(folder) / form.file
        try:
            form.write(source, path, samples or {}, written)
            written[name] = path
        except KerasSeqError as error:
            failed[name] = str(error)
    return written, failed
