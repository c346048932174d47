"""gRPC messages to named arrays and back, with the checks and texts of ``predict_util.cc`` and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from serving.contract import checks, protos
from serving.contract.examples import serialized
from serving.contract.protos import Message
from serving.contract.signatures import DEFAULT, Signature, type_name
from serving.contract.status import Code, Refused, invalid
from serving.contract.tensor_protos import to_array
from serving.models.servable import Arrays, Servable

_METHODS = {"tensorflow/serving/classify": "classify", "tensorflow/serving/regress": "regress"}


def prepare_predict(servable: Servable, name: str, request: Message) -> tuple[Arrays, tuple[str, ...]]:
    """Inputs and wanted outputs of a ``PredictRequest``.

    Raises:
        Refused: as ``RunPredict`` and ``PreProcessPrediction`` word it.
    """
    signature = servable.signatures.get(name)
    if signature is None:
        raise Refused(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    checks.check_inputs(signature, request.inputs)
    inputs = {alias: to_array(request.inputs[alias], alias) for alias in signature.inputs}
    _check_types(signature, request.inputs)
    return inputs, tuple(checks.check_outputs(signature, request.output_filter))


def _check_types(signature: Signature, tensors: Mapping[str, Message]) -> None:
    """What the session says of a tensor of another type."""
    names = protos.framework("types").DataType.Name
    for position, alias in enumerate(sorted(signature.inputs, key=lambda alias: signature.inputs[alias].name)):
        wanted, sent = signature.inputs[alias].dtype, names(tensors[alias].dtype)
        if wanted not in (sent, "DT_INVALID"):
            raise invalid(f"Expects arg[{position}] to be {type_name(wanted)} but {type_name(sent)} is provided")


def fill_spec(spec: Message, model: str, servable: Servable, signature: str) -> None:
    """``model_spec`` of a reply: the version that answered."""
    spec.name = model
    spec.signature_name = signature
    spec.version.value = servable.version


def prepare_examples(servable: Servable, name: str, api: str, message: Message) -> tuple[Arrays, tuple[str, ...]]:
    """Inputs and outputs of a classify or regress call.

    Raises:
        Refused: as ``classifier.cc`` and ``regressor.cc`` word it.
    """
    signature = servable.signatures.get(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    (checks.check_classify if api == "classify" else checks.check_regress)(signature)
    examples = serialized(message)
    if not examples:
        raise invalid("Input is empty.")
    array = np.empty(len(examples), object)
    array[:] = examples
    return {"inputs": array}, tuple(signature.outputs)


def fill_result(result: Message, api: str, answers: Arrays, count: int) -> None:
    """Fill a ``ClassificationResult`` or ``RegressionResult``.

    Raises:
        Refused: the answers make none.
    """
    if api == "regress":
        for value in checks.regression(answers, count).tolist():
            result.regressions.add().value = value
        return
    classes, scores = checks.classification(answers, count)
    shape = (classes if classes is not None else scores).shape  # type: ignore[union-attr]
    labels = classes.tolist() if classes is not None else [[b""] * shape[1]] * shape[0]
    numbers = scores.tolist() if scores is not None else [[0.0] * shape[1]] * shape[0]
    for names, row in zip(labels, numbers, strict=True):
        added = result.classifications.add()
        for label, score in zip(names, row, strict=True):
            added.classes.add(label=label.decode("utf-8", "replace"), score=score)


def check_tasks(request: Message) -> None:
    """Refuse tasks that one ``MultiInference`` cannot hold.

    Raises:
        Refused: as ``multi_inference.cc`` words it.
    """
    if not request.tasks:
        raise invalid("Inference request must have at least one task.")
    names, signatures = set[str](), set[str]()
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        names.add(task.model_spec.name)
        if len(names) > 1:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        signature = task.model_spec.signature_name or DEFAULT
        if signature in signatures:
            raise invalid(f"Duplicate evaluation of signature: {signature}")
        signatures.add(signature)


def api_of(servable: Servable, name: str, method: str) -> str:
    """Of a task: "classify" or "regress".

    Raises:
        Refused: the signature is not there, or the method is neither.
    """
    if name not in servable.signatures:
        raise invalid(f"Requested signature not found in model graph: {name}")
    if method not in _METHODS:
        raise Refused(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")
    return _METHODS[method]
