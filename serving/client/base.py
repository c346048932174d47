"""Base class of both clients: signatures, windows, batches of bounded size, answers joined again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from keras_seq.errors import ConfigError, DataError, nearest
from serving.client import arrays, frames
from serving.client.arrays import Arrays, Inputs
from serving.client.calls import ClassScores, Description, Example, VersionTarget
from serving.client.errors import CallRefused
from serving.client.retry import Answer, Retry
from serving.contract.signatures import CLASSIFY, DEFAULT, REGRESS, Signature
from serving.contract.status import Code

if TYPE_CHECKING:
    import pandas as pd

    from serving.contract.version_state import VersionState

Self = TypeVar("Self", bound="BaseClient")


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
    def predict(self, model: str, values: Inputs, lengths: ArrayLike | None = None, **options: Any) -> Arrays: ...
    def predict(
        self,
        model: str,
        values: pd.DataFrame | Inputs,
        lengths: ArrayLike | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        **options: Any,
    ) -> pd.DataFrame | Arrays:
        """Predictions of a model for arrays, sequences or a DataFrame.

        Args:
            model: its name.
            values: an array ``(batch, time, features)`` in raw units, NaN where missing; a list of ``(time, features)``
                of different lengths; a mapping of named arrays; or a DataFrame with one row a time step.
            lengths: real steps of each row ``(batch,)``, where the model takes them.
            version: its number; None: the one the server chooses.
            label: instead of a number.
            signature: None: serving_default.
            options: of a DataFrame: ``every`` and ``whole`` (as the command has them), ``plan`` (a DataFrame with the
                known-ahead columns of later steps, where these are no rows at each unit's end), and where the server
                does not describe the model, ``unit`` and ``time`` (columns that tell units apart and rise within one),
                ``features`` (columns in the model's order; None: all numeric ones) and ``window`` (last steps of each
                unit; None: all).

        Returns:
            Arrays by output name. For a DataFrame, which is read by the schema that the server tells, the table of
            ``keras_seq.predict``; without a description one row a unit. A warning names units that are too short.

        Raises:
            DataError: what was given does not fit the signature.
            ServingError: the server cannot be reached or refuses; its own text is inside.
        """
        target, name = VersionTarget(model, version, label), signature or DEFAULT
        if frames.is_frame(values):
            from serving.client import tables

            return tables.predict(self, target, values, signature=name, **options)
        if options:
            raise ConfigError(f"Option '{next(iter(options))}' is for DataFrames; values is {type(values).__name__}.")
        return self.ask(target, values, lengths, signature=name)

    def ask(
        self, target: VersionTarget, values: Inputs, lengths: ArrayLike | None = None, *, signature: str = DEFAULT
    ) -> Arrays:
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
        examples: Example | Sequence[Example] | pd.DataFrame,
        *,
        context: Example | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        unit: str | None = None,
    ) -> ClassScores:
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
        return self._classify(target, name, self._examples(target, examples, unit), context)

    def regress(
        self,
        model: str,
        examples: Example | Sequence[Example] | pd.DataFrame,
        *,
        context: Example | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        unit: str | None = None,
    ) -> np.ndarray:
        """One number for each example, float32 ``(examples,)``; arguments as ``classify`` takes them."""
        target = VersionTarget(model, version, label)
        name = self._named(target, signature, REGRESS)
        return self._regress(target, name, self._examples(target, examples, unit), context)

    def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> dict[str, Signature]:
        """The signatures of a version by name, asked anew.

        Raises:
            ServingError: the server cannot be reached, or does not know the version.
        """
        target = VersionTarget(model, version, label)
        self._known[target] = signatures = self._metadata(target)
        return signatures

    def status(self, model: str, *, version: int | None = None, label: str | None = None) -> list[VersionState]:
        """State of each version, the highest first.

        Raises:
            ServingError: the server cannot be reached, or does not know the model.
        """
        return self._status(VersionTarget(model, version, label))

    def describe(self, model: str, *, version: int | None = None, label: str | None = None) -> Description | None:
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

    def _examples(
        self, target: VersionTarget, examples: Example | Sequence[Example] | pd.DataFrame, unit: str | None
    ) -> Sequence[Example]:
        if frames.is_frame(examples):
            from serving.client import tables

            description = self.describe(target.model, version=target.version, label=target.label)
            return tables.frame_examples(examples, unit, description)
        return [examples] if isinstance(examples, Mapping) else list(cast("Sequence[Example]", examples))

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

    def _forgetting(self, target: VersionTarget, call: Callable[[], Answer]) -> Answer:
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

    def _classify(
        self, target: VersionTarget, name: str, examples: Sequence[Example], context: Example | None
    ) -> ClassScores:
        raise NotImplementedError

    def _regress(
        self, target: VersionTarget, name: str, examples: Sequence[Example], context: Example | None
    ) -> np.ndarray:
        raise NotImplementedError

    def _metadata(self, target: VersionTarget) -> dict[str, Signature]:
        raise NotImplementedError

    def _status(self, target: VersionTarget) -> list[VersionState]:
        raise NotImplementedError
