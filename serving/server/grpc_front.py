"""TensorFlow Serving's gRPC services on the same event loop, batcher and models as REST."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, TypeAlias

import grpc
from grpc import aio

from keras_seq.errors import ServingError
from serving.contract import protos, tensor_protos
from serving.contract.protos import Message
from serving.contract.signatures import DEFAULT
from serving.contract.status import Code, Refused
from serving.models.servable import Arrays, Servable
from serving.server import inference
from serving.server.app import CallTarget, ServerApp
from serving.server.tls import Tls, is_allowed

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MAX_MESSAGE = 2**31 - 1  # as the real server; the flag for bodies bounds it

Context: TypeAlias = Any  # grpc.aio.ServicerContext, which has no types
Method = Callable[[Message, Context], Awaitable[Message]]


class GrpcFront:
    """gRPC server of PredictionService and ModelService.

    Args:
        app: what answers.
        tls: for the port; None: plain.
        token: that clients must send; None: none.
        arguments: of ``--grpc_channel_arguments``.
    """

    def __init__(
        self, app: ServerApp, *, tls: Tls | None = None, token: bytes | None = None, arguments: str = ""
    ) -> None:
        self._app, self._token, self._tls = app, token, tls
        largest = min(_MAX_MESSAGE, app.settings.max_body_mb * 2**20)
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_send_message_length", _MAX_MESSAGE),
            *_arguments(arguments),
        ]
        self._server = aio.server(options=options)
        self._server.add_generic_rpc_handlers((_Handlers(self._methods()),))

    async def start(self, addresses: list[str]) -> None:
        """Listen.

        Raises:
            ServingError: an address cannot be used.
        """
        for address in addresses:
            try:
                if self._tls and not address.startswith("unix:"):
                    bound = self._server.add_secure_port(address, _credentials(self._tls))
                else:
                    bound = self._server.add_insecure_port(address)
            except RuntimeError:
                bound = 0
            if not bound and not address.startswith("unix:"):
                raise ServingError(f"gRPC cannot listen on {address}. Stop what listens there, or give another --port.")
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no new calls, and let those in flight finish for ``grace`` seconds."""
        await self._server.stop(grace)

    def _methods(self) -> dict[str, grpc.RpcMethodHandler]:
        predictions = {
            "Predict": (self.predict, "predict", "Predict"),
            "Classify": (self.classify, "classification", "Classification"),
            "Regress": (self.regress, "regression", "Regression"),
            "MultiInference": (self.multi, "inference", "MultiInference"),
            "GetModelMetadata": (self.metadata, "get_model_metadata", "GetModelMetadata"),
        }
        models = {
            "GetModelStatus": (self.status, "get_model_status", "GetModelStatus"),
            "HandleReloadConfigRequest": (self.reload, "model_management", "ReloadConfig"),
        }
        services = {"PredictionService": predictions, "ModelService": models}
        return {
            f"/tensorflow.serving.{service}/{name}": self._handler(*method)
            for service, methods in services.items()
            for name, method in methods.items()
        }

    def _handler(self, method: Method, module: str, message: str) -> grpc.RpcMethodHandler:
        messages = protos.apis(module)
        request, response = getattr(messages, f"{message}Request"), getattr(messages, f"{message}Response")

        async def checked(asked: Message, context: Context) -> Message:
            try:
                if self._token and not is_allowed(self._token, _metadata(context, "authorization").encode()):
                    raise Refused(Code.UNAUTHENTICATED, "A token is needed: authorization: Bearer <token>")
                return await method(asked, context)
            except Refused as refused:
                await context.abort(_CODES[int(refused.code)], refused.message)
            except (asyncio.CancelledError, aio.AbortError):
                raise
            except Exception as error:
                self._app.unexpected(error)
                await context.abort(grpc.StatusCode.INTERNAL, "Internal error")

        return grpc.unary_unary_rpc_method_handler(
            checked, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )

    # PredictionService

    async def predict(self, request: Message, context: Context) -> Message:
        """``Predict``."""
        start = perf_counter()
        name, code = request.model_spec.name, Code.OK
        try:
            return await self._predict(request, context)
        except Refused as refused:
            code = refused.code
            raise
        finally:
            self._app.metrics.request(name, "Predict", "GRPC", code, perf_counter() - start)

    async def _predict(self, request: Message, context: Context) -> Message:
        target = self._target(request, context)
        with self._app.acquire(target) as servable:
            name = request.model_spec.signature_name or DEFAULT
            inputs, outputs = inference.prepare_predict(servable, name, request)
            answers = await self._run(servable, name, inputs, outputs, context, target)
            response = protos.apis("predict").PredictResponse()
            inference.fill_spec(response.model_spec, request.model_spec.name, servable, name)
            for alias, array in answers.items():
                tensor_protos.to_proto(
                    array, response.outputs[alias], content=self._app.settings.enable_serialization_as_tensor_content
                )
            return response

    async def classify(self, request: Message, context: Context) -> Message:
        """``Classify``."""
        return await self._examples(request, context, "Classify", "classification", "Classification")

    async def regress(self, request: Message, context: Context) -> Message:
        """``Regress``."""
        return await self._examples(request, context, "Regress", "regression", "Regression")

    async def _examples(self, request: Message, context: Context, api: str, module: str, message: str) -> Message:
        start, code = perf_counter(), Code.OK
        response = getattr(protos.apis(module), f"{message}Response")()
        try:
            target = self._target(request, context)
            with self._app.acquire(target) as servable:
                name = request.model_spec.signature_name or DEFAULT
                inputs, outputs = inference.prepare_examples(servable, name, api.lower(), request.input)
                self._app.metrics.example_count(target.name, len(inputs["inputs"]))
                answers = await self._run(servable, name, inputs, outputs, context, None)
                inference.fill_result(response.result, api.lower(), answers, len(inputs["inputs"]))
                inference.fill_spec(response.model_spec, target.name, servable, name)
            return response
        except Refused as refused:
            code = refused.code
            raise
        finally:
            self._app.metrics.request(request.model_spec.name, api, "GRPC", code, perf_counter() - start)

    async def multi(self, request: Message, context: Context) -> Message:
        """``MultiInference``: several classify and regress signatures of one model over the same examples."""
        response = protos.apis("inference").MultiInferenceResponse()
        inference.check_tasks(request)
        target = self._target(request.tasks[0], context)
        with self._app.acquire(target) as servable:
            for task in request.tasks:
                name = task.model_spec.signature_name or DEFAULT
                api = inference.api_of(servable, name, task.method_name)
                inputs, outputs = inference.prepare_examples(servable, name, api, request.input)
                answers = await self._run(servable, name, inputs, outputs, context, None)
                result = response.results.add()
                filled = result.classification_result if api == "classify" else result.regression_result
                inference.fill_result(filled, api, answers, len(inputs["inputs"]))
                inference.fill_spec(result.model_spec, target.name, servable, name)
            self._app.metrics.example_count(target.name, len(inputs["inputs"]))
        return response

    async def metadata(self, request: Message, context: Context) -> Message:
        """``GetModelMetadata``."""
        if not request.HasField("model_spec"):
            raise Refused(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        if not request.metadata_field:
            raise Refused(Code.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field")
        for each in request.metadata_field:
            if each != "signature_def":
                raise Refused(Code.INVALID_ARGUMENT, f"Metadata field {each} is not supported")
        response = protos.apis("get_model_metadata").GetModelMetadataResponse()
        with self._app.acquire(self._target(request, context)) as servable:
            packed = response.metadata["signature_def"]
            packed.type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
            packed.value = servable.signature_protos
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
        return response

    # ModelService

    async def status(self, request: Message, context: Context) -> Message:
        """``GetModelStatus``; a label is not looked at, as in ``get_model_status_impl.cc``."""
        if not request.HasField("model_spec"):
            raise Refused(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        module = protos.apis("get_model_status")
        codes = protos.load("tensorflow/core/protobuf/error_codes_pb2").Code
        response = module.GetModelStatusResponse()
        for state in self._app.models.states(spec.name, version):
            line = response.model_version_status.add()
            line.version = state.version
            line.state = module.ModelVersionStatus.State.Value(state.state)
            line.status.error_code = codes.Value(state.error_code)
            line.status.error_message = state.error_message
        return response

    async def reload(self, request: Message, context: Context) -> Message:
        """``HandleReloadConfigRequest``; errors travel in the reply, as in the real server."""
        from google.protobuf import text_format

        response = protos.apis("model_management").ReloadConfigResponse()
        try:
            if not request.config.WhichOneof("config"):
                raise Refused(Code.INVALID_ARGUMENT, "ServerConfig type not set.")
            await self._app.reload(text_format.MessageToString(request.config))
        except Refused as refused:
            response.status.error_code = int(refused.code)
            response.status.error_message = refused.message
        return response

    # common

    def _target(self, request: Message, context: Context) -> CallTarget:
        if not request.HasField("model_spec"):
            raise Refused(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        spec = request.model_spec
        if not spec.name:
            raise Refused(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        return CallTarget(
            spec.name,
            spec.version.value if choice == "version" else None,
            spec.version_label if choice == "version_label" else None,
            _metadata(context, "x-request-id"),
            context.peer(),
        )

    async def _run(
        self,
        servable: Servable,
        signature: str,
        inputs: Arrays,
        outputs: tuple[str, ...] | None,
        context: Context,
        target: CallTarget | None,
    ) -> Arrays:
        """Through the batcher; what is over by the client's deadline is not run."""
        future = asyncio.get_running_loop().create_future()

        def done(result: Arrays | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        left = context.time_remaining()
        start = perf_counter()
        deadline = start + left if left is not None else float("inf")
        call = self._app.submit(servable, signature, inputs, outputs, done, lambda: not future.done(), deadline)
        answers = await future
        if target is not None:
            self._app.observed(target, call, answers, perf_counter() - start)
        return answers


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, methods: dict[str, grpc.RpcMethodHandler]) -> None:
        self._methods = methods

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._methods.get(details.method)


def _metadata(context: Context, name: str) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode("latin-1")
    return ""


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.server_key.encode(), tls.server_cert.encode())],
        root_certificates=tls.custom_ca.encode() or None,
        require_client_auth=tls.client_verify,
    )


def _arguments(text: str) -> list[tuple[str, Any]]:
    """``name=value,...``; values that are whole numbers become numbers, as in the real server."""
    arguments: list[tuple[str, Any]] = []
    for each in filter(None, text.split(",")):
        name, equals, value = each.partition("=")
        if not equals:
            raise ServingError(f"--grpc_channel_arguments has '{each}'; write name=value,name=value.")
        arguments.append((name, int(value) if value.lstrip("-").isdigit() else value))
    return arguments
