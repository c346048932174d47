"""``GrpcClient``: TensorFlow Serving's gRPC services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.errors import ConfigError, DataError, ServingError
from serving.client.arrays import Arrays, typed_answers
from serving.client.base import BaseClient
from serving.client.calls import ClassScores, Example, VersionTarget
from serving.client.errors import refused
from serving.client.examples import to_example
from serving.client.retry import RetryableError
from serving.contract import protos
from serving.contract.metadata import signatures_of
from serving.contract.protos import Message
from serving.contract.signatures import Signature
from serving.contract.status import Code, Refused
from serving.contract.tensor_protos import to_array, to_proto

if TYPE_CHECKING:
    from serving.contract.version_state import VersionState

LARGEST = 64 * 2**20  # bytes of a message, above gRPC's 4 MiB


class GrpcClient(BaseClient):
    """gRPC client of a server.

    Args:
        address: host and port, such as ``127.0.0.1:8500``.
        token: sent as ``authorization: Bearer``.
        ca: file of the certificates that the server is checked against; with it the connection is TLS.
        options: see ``BaseClient``.

    Raises:
        ConfigError: the address is none, or ``ca`` cannot be read.
    """

    def __init__(
        self, address: str = "127.0.0.1:8500", *, token: str | None = None, ca: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        host, colon, port = address.rpartition(":")
        if not colon or not host or not port.isdigit():
            raise ConfigError(f"address must be host:port such as 127.0.0.1:8500, got '{address}'.")
        self.address = address
        self._token = [("authorization", f"Bearer {token}")] if token else []
        self._ca = _read(ca) if ca else None

    @cached_property
    def _channel(self) -> Any:
        import grpc

        options = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
        options.append(("grpc.enable_retries", 0))  # ``Retry`` decides
        if self._ca is None:
            return grpc.insecure_channel(self.address, options)
        return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(self._ca), options)

    @cached_property
    def _predictions(self) -> Any:
        return protos.load("tensorflow_serving/apis/prediction_service_pb2_grpc").PredictionServiceStub(self._channel)

    @cached_property
    def _models(self) -> Any:
        return protos.load("tensorflow_serving/apis/model_service_pb2_grpc").ModelServiceStub(self._channel)

    def close(self) -> None:
        """Close the connection."""
        if "_channel" in self.__dict__:
            self._channel.close()
            for name in ("_channel", "_predictions", "_models"):
                self.__dict__.pop(name, None)

    def _predict(self, target: VersionTarget, name: str, inputs: Arrays, signature: Signature) -> Arrays:
        request = protos.apis("predict").PredictRequest(model_spec=_spec(target, name))
        for alias, value in inputs.items():
            to_proto(_bytes(value), request.inputs[alias])
        reply = self._forgetting(
            target, lambda: self._ask(self._predictions.Predict, request, f"predict with {target}")
        )
        try:
            decoded = {alias: to_array(tensor, alias) for alias, tensor in reply.outputs.items()}
        except Refused as error:
            raise ServingError(f"The answer of {self.address} cannot be read: {error.message}.") from None
        return typed_answers(decoded, signature)

    def _classify(
        self, target: VersionTarget, name: str, examples: Sequence[Example], context: Example | None
    ) -> ClassScores:
        request = protos.apis("classification").ClassificationRequest(model_spec=_spec(target, name))
        _fill(request.input, examples, context)
        reply = self._ask(self._predictions.Classify, request, f"classify with {target}")
        return [[(scored.label, scored.score) for scored in row.classes] for row in reply.result.classifications]

    def _regress(
        self, target: VersionTarget, name: str, examples: Sequence[Example], context: Example | None
    ) -> np.ndarray:
        request = protos.apis("regression").RegressionRequest(model_spec=_spec(target, name))
        _fill(request.input, examples, context)
        reply = self._ask(self._predictions.Regress, request, f"regress with {target}")
        return np.array([row.value for row in reply.result.regressions], np.float32)

    def _metadata(self, target: VersionTarget) -> dict[str, Signature]:
        metadata = protos.apis("get_model_metadata")
        request = metadata.GetModelMetadataRequest(model_spec=_spec(target), metadata_field=["signature_def"])
        reply = self._ask(self._predictions.GetModelMetadata, request, f"tell the signatures of {target}")
        signatures = metadata.SignatureDefMap()
        reply.metadata["signature_def"].Unpack(signatures)
        return signatures_of(signatures)

    def _status(self, target: VersionTarget) -> list[VersionState]:
        from serving.contract.version_state import VersionState

        messages = protos.apis("get_model_status")
        request = messages.GetModelStatusRequest(model_spec=_spec(target))
        reply = self._ask(self._models.GetModelStatus, request, f"tell the state of {target}")
        state = messages.ModelVersionStatus.State
        return [
            VersionState(row.version, state.Name(row.state), Code(row.status.error_code).name, row.status.error_message)
            for row in reply.model_version_status
        ]

    def _ask(self, method: Callable[..., Any], request: Message, what: str) -> Any:
        return self.retry.run(lambda: self._once(method, request, what))

    def _once(self, method: Callable[..., Any], request: Message, what: str) -> Any:
        import grpc

        try:
            return method(request, timeout=self.timeout, metadata=self._token)
        except grpc.RpcError as error:
            code, details = Code(error.code().value[0]), error.details() or ""
        if code is Code.UNAVAILABLE and "failed to connect" in details:
            raise RetryableError(ServingError(f"No server answers at {self.address}: {details[:200]}. Is it running?"))
        failure = refused(what, self.address, code, details)
        if code is Code.UNAVAILABLE:
            raise RetryableError(failure)
        raise failure


def _spec(target: VersionTarget, signature: str = "") -> Any:
    spec = protos.apis("model").ModelSpec(name=target.model, signature_name=signature)
    if target.version is not None:
        spec.version.value = target.version
    elif target.label:
        spec.version_label = target.label
    return spec


def _bytes(array: np.ndarray) -> np.ndarray:
    """Text as bytes; numbers as they are, in one piece."""
    if array.dtype != object:
        return np.ascontiguousarray(array)
    encoded = np.empty(array.size, object)
    encoded[:] = [item if isinstance(item, bytes) else str(item).encode() for item in array.flat]
    return encoded.reshape(array.shape)


def _fill(message: Message, examples: Sequence[Example], context: Example | None) -> None:
    """Put examples into the ``Input`` of a request."""
    if not examples:
        raise DataError("examples is empty; give at least one.")
    place = message.example_list_with_context if context else message.example_list
    place.examples.extend(to_example(example) for example in examples)
    if context:
        place.context.CopyFrom(to_example(context))


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"The certificates '{path}' of ca cannot be read: {error.strerror}.") from None
