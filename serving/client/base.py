"""What both clients do alike: signatures, windows, batches of bounded size, answers put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from keras_seq.errors import ConfigError, DataError, nearest
from serving.client import arrays, frames
from serving.client.arrays import Arrays
from serving.client.errors import CallRefused
from serving.client.retry import Retry
from serving.contract.signatures import CLASSIFY, DEFAULT, REGRESS, Signature
from serving.contract.status import Code

if TYPE_CHECKING:
    import pandas as pd

    from serving.contract.version_state import VersionState

Self = TypeVar("Self", bound="BaseClient")
Classes = list[list[tuple[str, float]]]


@dataclass(frozen=True)
class VersionTarget:
    """Which version a call goes to.

    Attributes:
        model: its name.
        version: its number; None: the one the server chooses.
        label: instead of a number, such as "stable".
    """

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ConfigError(f"Give version={self.version} or label='{self.label}', not both.")

    def __str__(self) -> str:
        of = f" version {self.version}" if self.version is not None else f" label '{self.label}'" if self.label else ""
        return f"model '{self.model}'{of}"


class BaseClient:
    """Calls of TensorFlow Serving; ``Client`` and ``GrpcClient`` carry them.

    Args:
        timeout: seconds that one call may take.
        retry: when a call is made again.
        rows_per_request: longest batch of one request; more rows become several requests.
        bytes_per_request: rough upper size of the arrays in one request.
        connections: requests under way at once when there are several.
    """

    def __init__(
        self,
        *,
        timeout: float = 60.0,
        retry: Retry | None = None,
        rows_per_request: int = 256,
        bytes_per_request: int = 4 * 2**20,
        connections: int = 1,
    ) -> None:
        for name, value in (("timeout", timeout), ("rows_per_request", rows_per_request), ("connections", connections)):
            if value <= 0:
                raise ConfigError(f"{name} must be above 0, got {value}.")
        self.timeout, self.retry = timeout, retry or Retry()
        self.rows_per_request, self.bytes_per_request = rows_per_request, bytes_per_request
        self.connections = connections
        self._known: dict[VersionTarget, dict[str, Signature]] = {}

    @overload
    def predict(self, model: str, values: pd.DataFrame, lengths: None = None, **options: Any) -> pd.DataFrame: ...
    @overload
    def predict(self, model: str, values: Any, lengths: Any = None, **options: Any) -> Arrays: ...
    def predict(self, model: str, values: Any, lengths: Any = None, **options: Any) -> Any:
        """Final answers.

        Args:
            model: its name.
            values: an array ``(batch, time, features)`` in raw units, NaN where missing; a list of ``(time, features)``
                of different lengths; a mapping of named arrays; or a DataFrame with one row a time step.
            lengths: real steps of each row ``(batch,)``, where the model takes them.
            options: ``version``, ``label``, ``signature``; for a DataFrame also ``every`` and ``whole`` (as the command
                has them), and where the server does not describe the model, ``unit`` and ``time`` (columns that tell
                units apart and rise within one), ``features`` (columns in the model's order; None: all numeric ones)
                and ``window`` (last steps of each unit; None: all).

        Returns:
            Arrays by output name. For a DataFrame, which is read by the schema that the server tells, the table of
            ``keras_seq.predict``; without a description one row a unit. A warning names units that are too short.

        Raises:
            DataError: what was given does not fit the signature.
            ServingError: the server cannot be reached or refuses; its own text is inside.
        """
        if frames.is_frame(values):
            return frames.predict(self, model, values, **options)
        target = VersionTarget(model, options.pop("version", None), options.pop("label", None))
        name = options.pop("signature", None) or DEFAULT
        if options:
            raise ConfigError(f"Option '{next(iter(options))}' is for DataFrames; values is {type(values).__name__}.")
        return self.ask(target, values, lengths, signature=name)

    def ask(self, target: VersionTarget, values: Any, lengths: Any = None, *, signature: str = DEFAULT) -> Arrays:
        """Answers of one version as arrays; ``predict`` without DataFrames."""
        known = self.signature(target, signature)
        inputs = arrays.named_inputs(values, lengths, known)
        parts = list(arrays.batches(inputs, self.rows_per_request, self.bytes_per_request))
        answers = self._all(lambda part: self._predict(target, signature, part, known), parts)
        return arrays.joined(answers, [len(next(iter(part.values()))) for part in parts] if len(parts) > 1 else [0])

    def _all(self, call: Callable[[Arrays], Arrays], parts: Sequence[Arrays]) -> list[Arrays]:
        if self.connections == 1 or len(parts) == 1:
            return [call(part) for part in parts]
        with ThreadPoolExecutor(self.connections) as pool:
            return list(pool.map(call, parts))

    def classify(
        self,
        model: str,
        examples: Any,
        *,
        context: Mapping[str, Any] | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        unit: str | None = None,
    ) -> Classes:
        """Classes and scores of each example.

        Args:
            model: its name.
            examples: mappings of feature names to a value or a list of values (floats; one a step, oldest first);
                or a DataFrame with one row a step, whose units become examples.
            context: features that all examples share.
            version: its number; None: the one the server chooses.
            label: instead of a number.
            signature: None: the model's only one for this call.
            unit: column of a DataFrame that tells units apart.

        Raises:
            ServingError: the server cannot be reached or refuses.
        """
        target = VersionTarget(model, version, label)
        name = self._named(target, signature, CLASSIFY)
        return self._classify(target, name, frames.examples(examples, unit, self._describing(target)), context)

    def regress(
        self,
        model: str,
        examples: Any,
        *,
        context: Mapping[str, Any] | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        unit: str | None = None,
    ) -> np.ndarray:
        """One number for each example, float32 ``(examples,)``; arguments as ``classify`` takes them."""
        target = VersionTarget(model, version, label)
        name = self._named(target, signature, REGRESS)
        return self._regress(target, name, frames.examples(examples, unit, self._describing(target)), context)

    def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> dict[str, Signature]:
        """The signatures of a version by name, asked anew.

        Raises:
            ServingError: the server cannot be reached, or does not know the version.
        """
        target = VersionTarget(model, version, label)
        self._known[target] = found = self._metadata(target)
        return found

    def status(self, model: str, *, version: int | None = None, label: str | None = None) -> list[VersionState]:
        """State of each version, the highest first.

        Raises:
            ServingError: the server cannot be reached, or does not know the model.
        """
        return self._status(VersionTarget(model, version, label))

    def describe(self, model: str, *, version: int | None = None, label: str | None = None) -> dict[str, Any] | None:
        """What ``keras_seq`` wrote of a version (features, window, ...); None where the server has no extras."""
        return None

    def signature(self, target: VersionTarget, name: str = DEFAULT) -> Signature:
        """A signature of a version; asked once and kept until a call is refused.

        Raises:
            DataError: the version has none of that name.
        """
        known = self._known.get(target)
        if known is None or name not in known:
            known = self.metadata(target.model, version=target.version, label=target.label)
        if name not in known:
            raise DataError(f"The {target} has no signature '{name}'{nearest(name, known)}")
        return known[name]

    def _describing(self, target: VersionTarget) -> Callable[[], dict[str, Any] | None]:
        return lambda: self.describe(target.model, version=target.version, label=target.label)

    def _named(self, target: VersionTarget, name: str | None, method: str) -> str:
        if name is not None:
            return name
        known = self.metadata(target.model, version=target.version, label=target.label)
        fitting = [name for name, signature in known.items() if signature.method == method]
        if len(fitting) != 1:
            raise DataError(
                f"The {target} has {len(fitting)} signatures of the method {method}"
                f"{': ' + ', '.join(fitting) if fitting else ''}; name one with signature, or call predict."
            )
        return fitting[0]

    def _forgetting(self, target: VersionTarget, call: Callable[[], Any]) -> Any:
        """Call; a refusal may mean that another version serves now, so what is known of it is asked anew next time."""
        try:
            return call()
        except CallRefused as error:
            if error.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND):
                self._known.pop(target, None)
            raise

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""

    def _predict(self, target: VersionTarget, name: str, inputs: Arrays, signature: Signature) -> Arrays:
        raise NotImplementedError

    def _classify(self, target: VersionTarget, name: str, examples: Any, context: Mapping[str, Any] | None) -> Classes:
        raise NotImplementedError

    def _regress(
        self, target: VersionTarget, name: str, examples: Any, context: Mapping[str, Any] | None
    ) -> np.ndarray:
        raise NotImplementedError

    def _metadata(self, target: VersionTarget) -> dict[str, Signature]:
        raise NotImplementedError

    def _status(self, target: VersionTarget) -> list[VersionState]:
        raise NotImplementedError
