"""A bundle as a TensorFlow Serving version: raw units in, final answers out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.data.spec import DataSpec
from keras_seq.errors import OutputError


def answers(spec: DataSpec, output: Any, threshold: float = 0.5) -> dict[str, Any]:
    """Name a model's output and add the decision, as the server's clients see it.

    Args:
        spec: of the model.
        output: the model's output tensor, one answer a sample.
        threshold: probability from which a binary answer is class 1.

    Returns:
        ``probability (batch, 1)`` and ``class (batch, 1)``; ``probabilities (batch, classes)`` and
        ``class (batch,)``; or ``prediction`` / ``quantiles`` as the model gives them.
    """
    import tensorflow as tf

    output = tf.cast(output, tf.float32)
    if spec.task == "binary":
        return {"probability": output, "class": tf.cast(output >= threshold, tf.int32)}
    if spec.task == "multiclass":
        return {"probabilities": output, "class": tf.argmax(output, axis=-1, output_type=tf.int32)}
    return {"prediction": output}


@dataclass(frozen=True)
class Served:
    """What a version serves.

    Attributes:
        model: the Keras model behind it, one answer a sample.
        function: takes the tensors of ``signature`` and returns named answers.
        signature: ``values (batch, time, features)`` float32 [and ``lengths (batch,)`` int32].
    """

    model: Any
    function: Callable[..., dict[str, Any]]
    signature: list[Any]


def served(model: Any, spec: DataSpec, *, threshold: float = 0.5, quantiles: bool = False) -> Served:
    """The served graph: raw units in, final answers out.

    Models with an answer at every step are reduced to each sample's last real step.
    """
    import tensorflow as tf

    from keras_seq.models.build import last_step

    single = last_step(model) if spec.per_step else model
    signature = [tf.TensorSpec((None, None, len(spec.features)), tf.float32, name="values")]
    if spec.variable_length:
        signature.append(tf.TensorSpec((None,), tf.int32, name="lengths"))

    def answer(**inputs: Any) -> dict[str, Any]:
        output = single(inputs, training=False)
        return {"quantiles": tf.cast(output, tf.float32)} if quantiles else answers(spec, output, threshold)

    def with_lengths(values: Any, lengths: Any) -> dict[str, Any]:
        return answer(values=values, lengths=lengths)

    def whole_windows(values: Any) -> dict[str, Any]:
        return answer(values=values)

    return Served(single, with_lengths if spec.variable_length else whole_windows, signature)


def next_version(base: Path) -> int:
    """The number after the highest version folder below ``base``."""
    versions = [int(path.name) for path in base.glob("*") if path.is_dir() and path.name.isdigit()]
    return max(versions, default=0) + 1


def check_version(base: Path, version: int | None) -> None:
    """Refuse, before long work starts, a version number that is taken.

    Raises:
        OutputError: names the folder and the next free number.
    """
    if version is not None and (base / str(version)).exists():
        raise OutputError(
            f"Version folder '{base / str(version)}' exists already; versions are never overwritten. "
            f"Use --export.version {next_version(base)} or leave the option out."
        )


def write_saved_model(
    model: Any,
    spec: DataSpec,
    base: Path,
    *,
    version: int | None = None,
    threshold: float = 0.5,
    quantiles: bool = False,
) -> Path:
    """Write ``base/<version>/`` aside and rename it in, so that a server never sees a half.

    Raises:
        OutputError: the version exists or the folder cannot be written.
    """
    import keras

    check_version(base, version)
    graph = served(model, spec, threshold=threshold, quantiles=quantiles)
    target = base / str(version or next_version(base))
    archive = keras.export.ExportArchive()
    archive.track(graph.model)
    archive.add_endpoint("serving_default", graph.function, input_signature=graph.signature)
    with files.new_folder(target) as partial, contextlib.redirect_stdout(io.StringIO()):
        archive.write_out(str(partial), verbose=False)
    return target
