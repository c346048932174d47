"""What TensorFlow Serving checks before and after a graph runs, beyond the JSON: signatures, batch sizes, dtypes.

Sources: ``predict_util.cc``, ``classifier.cc``, ``regressor.cc``. A signature's method name is not among the checks:
what counts is whether the tensors that a method needs are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from serving.contract.signatures import NUMPY, Signature
from serving.contract.status import Code, Refused, invalid

_NAMES = {kind: name for name, kind in NUMPY.items()}


def check_inputs(signature: Signature, inputs: Iterable[str]) -> None:
    """Check a predict call's inputs against the signature (REST cannot get this wrong, gRPC can).

    Raises:
        Refused: INVALID_ARGUMENT "input size does not match signature: ..." or "... invalid name ...".
    """
    sent, wanted = set(inputs), set(signature.inputs)
    if len(sent) != len(wanted):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{_join(sent)}}}) != "
            f"len({{{_join(wanted)}}}). Sent extra: {{{_join(sent - wanted)}}}. "
            f"Missing but required: {{{_join(wanted - sent)}}}."
        )
    for alias in sorted(wanted - sent):
        raise invalid(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and no "
            f"default value provided. Inputs expected to be in the request {{{_join(sent)}}}, or default input alias "
            "set: "
        )


def check_outputs(signature: Signature, output_filter: Sequence[str]) -> list[str]:
    """Aliases to answer with: those asked for, or all.

    Raises:
        Refused: INVALID_ARGUMENT for an unknown alias or one asked for twice.
    """
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            raise unknown_output(signature, alias)
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    return list(output_filter) or list(signature.outputs)


def unknown_output(signature: Signature, alias: str) -> Refused:
    """The refusal of an output that the signature does not have."""
    return invalid(
        f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
        f"{{{_join(signature.outputs)}}}."
    )


def missing_input(inputs: Iterable[str], alias: str) -> Refused:
    """The refusal of a run without one of the signature's inputs."""
    return invalid(
        f"input tensor alias not found in signature: {alias}. Inputs expected to be in the set {{{_join(inputs)}}}."
    )


def check_classify(signature: Signature) -> None:
    """Check that a signature can classify: one input "inputs", outputs "classes" and/or "scores".

    Raises:
        Refused: INVALID_ARGUMENT or FAILED_PRECONDITION (both HTTP 400).
    """
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise _precondition(f"No classification inputs found in SignatureDef: {signature.text}")
    if not {"classes", "scores"} & set(signature.outputs):
        raise _precondition(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature.text}"
        )


def check_regress(signature: Signature) -> None:
    """Check that a signature can regress: one input "inputs", one output "outputs".

    Raises:
        Refused: INVALID_ARGUMENT or FAILED_PRECONDITION (both HTTP 400).
    """
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise _precondition(f"No regression inputs found in SignatureDef: {signature.text}")
    if "outputs" not in signature.outputs:
        raise _precondition(f"No regression outputs found in SignatureDef: {signature.text}")


def classification(outputs: Mapping[str, np.ndarray], examples: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Labels and scores of a classify call's outputs.

    Args:
        outputs: by alias.
        examples: how many were sent.

    Returns:
        Object (examples, classes) of bytes and float32 (examples, classes); None for what there is not.

    Raises:
        Refused: INVALID_ARGUMENT: shapes or dtypes that make no classification.
    """
    classes, scores = outputs.get("classes"), outputs.get("scores")
    for name, array, dtype in (("classes", classes, "DT_STRING"), ("scores", scores, "DT_FLOAT")):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
        if _dtype(array) != dtype:
            raise invalid(f"Expected {name} Tensor of {dtype}. Got: {_dtype(array)}")
        if len(array) != examples:
            raise invalid(f"Expected {name} output batch size of {examples}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    return classes, scores


def regression(outputs: Mapping[str, np.ndarray], examples: int) -> np.ndarray:
    """Values of a regress call's outputs, float32 (examples,).

    Raises:
        Refused: INVALID_ARGUMENT: shapes or dtypes that make no regression.
    """
    array = outputs["outputs"]
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 1):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(array)}"
        )
    if len(array) != examples:
        raise invalid(f"Input batch size did not match output batch size: {examples} vs. {len(array)}")
    if _dtype(array) != "DT_FLOAT":
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_dtype(array)}")
    return array.ravel()


def _precondition(message: str) -> Refused:
    return Refused(Code.FAILED_PRECONDITION, message)


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _dtype(array: np.ndarray) -> str:
    return _NAMES.get(array.dtype.name, f"DT_{array.dtype.name.upper()}")
