"""A bundle as a TensorFlow Serving version: raw units in, final answers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.data.spec import DataSpec
from keras_seq.errors import OutputError


@dataclass(frozen=True)
class ServingGraph:
    """What a version serves.

    Attributes:
        model: the Keras model behind it, one answer a sample.
        function: takes the tensors of ``signature`` and returns named answers.
        signature: ``values (batch, time, features)`` float32 [and ``lengths (batch,)`` int32].
    """

    model: Any
    function: Callable[..., dict[str, Any]]
    signature: list[Any]

    @property
    def takes_lengths(self) -> bool:
        """Whether windows are shorter than their tensor."""
        return len(self.signature) > 1


def served(
    model: Any, spec: DataSpec, *, decision: Mapping[str, Any] | None = None, quantiles: Sequence[float] = ()
) -> ServingGraph:
    """The served graph: raw units in, final answers out.

    Models with an answer at every step are reduced to each sample's last real step.

    Args:
        model: takes raw units.
        spec: of the model.
        decision: of the bundle: calibration, threshold, intervals; see ``keras_seq.models.decision.decide`` for the
            answers that come of it. None: the model's own answers.
        quantiles: levels of a quantile model.
    """
    import tensorflow as tf

    from keras_seq.models.decision import decide
    from keras_seq.models.views import last_step

    single = last_step(model) if spec.per_step else model
    signature = [tf.TensorSpec((None, None, len(spec.features)), tf.float32, name="values")]
    if spec.variable_length:
        signature.append(tf.TensorSpec((None,), tf.int32, name="lengths"))

    def answer(**inputs: Any) -> dict[str, Any]:
        return decide(single(inputs, training=False), spec, decision or {}, quantiles)

    def with_lengths(values: Any, lengths: Any) -> dict[str, Any]:
        return answer(values=values, lengths=lengths)

    def whole_windows(values: Any) -> dict[str, Any]:
        return answer(values=values)

    return ServingGraph(single, with_lengths if spec.variable_length else whole_windows, signature)


def next_version(base: Path) -> int:
    """The number after the highest version folder below ``base``."""
    versions = [int(path.name) for path in base.glob("*") if path.is_dir() and path.name.isdigit()]
    return max(versions, default=0) + 1


def check_version(base: Path, version: int | None, *, option: str = "--export.version") -> None:
    """Refuse, before long work starts, a version number that is taken; ``option`` is what would change it.

    Raises:
        OutputError: names the folder and the next free number.
    """
    if version is not None and (base / str(version)).exists():
        raise OutputError(
            f"Version folder '{base / str(version)}' exists already; versions are never overwritten. "
            f"Use {option} {next_version(base)} or leave the option out."
        )


def write_saved_model(
    model: Any,
    spec: DataSpec,
    base: Path,
    *,
    version: int | None = None,
    decision: Mapping[str, Any] | None = None,
    quantiles: Sequence[float] = (),
) -> Path:
    """Write ``base/<version>/`` aside and rename it in, so that a server never sees a half.

    Its signatures are those of ``keras_seq.export.signatures``. See ``served`` for model, spec, decision and quantiles.

    Raises:
        OutputError: the version exists or the folder cannot be written.
    """
    from keras_seq.export.metadata import Source
    from keras_seq.export.signatures import write_signatures

    check_version(base, version)
    target = base / str(version or next_version(base))
    with files.new_folder(target) as partial:
        write_signatures(Source(model, spec, decision or {}, quantiles), partial)
    return target
