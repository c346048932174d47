"""A function of tensors as an ONNX graph, converted as exports are, and its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def run_as_onnx(
    function: Callable[..., dict[str, Any]], signature: list[Any], given: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Named answers of ONNX Runtime to ``given``, and the graph's operations by kind, none of them a loop."""
    import onnxruntime

    from keras_seq.export.onnx import convert

    proto = convert(function, signature)
    kinds = Counter(node.op_type for node in proto.graph.node)
    assert not {"Loop", "Scan", "If"} & set(kinds)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(given)), strict=True)), kinds
