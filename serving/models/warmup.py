"""Replays ``assets.extra/tf_serving_warmup_requests`` before a version answers its first client."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from serving.contract import protos
from serving.contract.examples import serialized
from serving.contract.protos import Message
from serving.contract.signatures import DEFAULT
from serving.contract.status import Code, Refused, invalid
from serving.models.records import read_records
from serving.models.servable import Servable

FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000  # of saved_model_warmup_util.cc


def replay(servable: Servable, folder: Path) -> int:
    """Run every request of a version's warm-up file.

    Args:
        servable: freshly loaded.
        folder: of the version; without the file nothing is done.

    Returns:
        How many there were.

    Raises:
        Refused: a request fails, the file is broken or has more than ``MAX_RECORDS``; the version is not to be served.
    """
    path, count = folder / FILE, 0
    if not path.is_file():
        return 0
    for record in read_records(path):
        count += 1
        if count > MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        log = protos.apis("prediction_log").PredictionLog()
        try:
            log.ParseFromString(record)
        except Exception:  # DecodeError of whichever protobuf runtime is in use
            raise invalid(f"Failed to parse warmup record {count} from {path}") from None
        _run(servable, log)
    return count


def _run(servable: Servable, log: Message) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        _predict(servable, request)
    elif kind == "classify_log":
        _examples(servable, log.classify_log.request.model_spec, log.classify_log.request.input)
    elif kind == "regress_log":
        _examples(servable, log.regress_log.request.model_spec, log.regress_log.request.input)
    elif kind == "multi_inference_log":
        for task in log.multi_inference_log.request.tasks:
            _examples(servable, task.model_spec, log.multi_inference_log.request.input)
    elif kind == "session_run_log":
        raise Refused(Code.UNIMPLEMENTED, "Unsupported log_type for warmup: 5")


def _predict(servable: Servable, request: Message) -> None:
    from serving.contract.tensor_protos import to_array

    name = request.model_spec.signature_name or DEFAULT
    inputs = {alias: to_array(tensor, alias) for alias, tensor in request.inputs.items()}
    servable.run(name, inputs, list(request.output_filter) or None)


def _examples(servable: Servable, spec: Message, examples: Message) -> None:
    """A classify or regress request: serialized examples for the one input of its signature."""
    name = spec.signature_name or DEFAULT
    signature = servable.signatures.get(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    if len(signature.inputs) != 1:
        raise invalid(f"Expected one input Tensor for signature {name}, it has {len(signature.inputs)}")
    servable.run(name, {next(iter(signature.inputs)): np.array(serialized(examples), object)})
