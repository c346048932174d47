"""``tf.train.Example`` of features by name, without TensorFlow."""

from __future__ import annotations

import numpy as np

from serving.client.calls import Example
from serving.contract import protos
from serving.contract.protos import Message


def to_example(features: Example) -> Message:
    """A ``tf.train.Example`` of features by name: text and bytes, whole numbers, or floats, one or several each."""
    example = protos.example().Example()
    for name, value in features.items():
        items = np.asarray(value).reshape(-1).tolist() if not isinstance(value, (str, bytes)) else [value]
        feature = example.features.feature[str(name)]
        if items and all(isinstance(item, (str, bytes)) for item in items):
            feature.bytes_list.value.extend(item if isinstance(item, bytes) else item.encode() for item in items)
        elif items and all(isinstance(item, int) for item in items):
            feature.int64_list.value.extend(items)
        else:
            feature.float_list.value.extend(map(float, items))
    return example
