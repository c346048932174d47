"""A bundle's final answers to raw inputs, as its served graph gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(source: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Answers by name.

    Args:
        source: of ``keras_seq.export.metadata.source_of``.
        inputs: ``values (n, time, features)`` float32 and, where lengths vary, ``lengths (n,)`` int32.
    """
    import tensorflow as tf

    from keras_seq.export.serving_graph import served

    graph = served(source.model, source.spec, decision=source.decision, quantiles=source.quantiles)
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: np.asarray(value) for name, value in graph.function(**tensors).items()}
