"""The tree ensemble inside a fitted model, taken out of the graph: its table of features and its trees as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ModelError
from keras_seq.explain.explained_model import ExplainedModel
from keras_seq.models.tree_ensemble import TreeEnsemble


@dataclass(frozen=True)
class TakenOut:
    """Trees and what they read.

    Attributes:
        layer: the ensemble.
        reader: model from the inputs to the features, and to the forecast's level where there is one.
        layers: of the whole model, which tell what the features are.
        per_step: features come at every step.
    """

    layer: TreeEnsemble
    reader: Any
    layers: list[Any]
    per_step: bool

    def features(
        self, explained: ExplainedModel, values: NDArray[Any], lengths: NDArray[Any]
    ) -> tuple[NDArray, NDArray | None]:
        """Feature rows ``(rows, k)`` of padded windows, and the level ``(rows, targets)`` or None."""
        table, level = self.reader(explained.inputs(values, lengths), training=False)
        table, level = np.asarray(table), None if level is None else np.asarray(level)
        if self.per_step:
            table = table[np.arange(len(table)), np.maximum(lengths, 1) - 1]
        return table, level

    def as_dict(self, weights: NDArray[Any]) -> dict[str, Any]:
        """The trees as shap's plain dictionary, answering ``weights * outputs`` in one number.

        Args:
            weights: of the layer's outputs ``(outputs,)``.
        """
        names = ("feature", "threshold", "left", "value", "root")
        feature, threshold, left, value, root = (np.asarray(getattr(self.layer, name)) for name in names)
        stops = np.append(root[1:], len(left))
        trees = []
        for number, (low, high) in enumerate(zip(root, stops, strict=True)):
            own = np.arange(low, high)
            leaf = left[own] == own
            child = np.where(leaf, -1, left[own] - low)
            group = number % self.layer.groups
            part = weights[group : group + 1] if self.layer.groups > 1 else weights
            trees.append(
                {
                    "children_left": child,
                    "children_right": np.where(leaf, -1, child + 1),
                    "children_default": child,
                    "features": np.where(leaf, -1, feature[own]),
                    "thresholds": np.where(leaf, 0.0, threshold[own]).astype(np.float64),
                    "values": (value[own].astype(np.float64) @ part)[:, None] * self.layer.scale,
                    "node_sample_weight": np.ones(len(own)),
                }
            )
        base = float(np.asarray(self.layer.base, np.float64) @ weights)
        return {"trees": trees, "internal_dtype": np.float64, "input_dtype": np.float32, "base_offset": base}


def take_out(model: keras.Model) -> TakenOut:
    """The only tree ensemble of a model.

    Raises:
        ModelError: the model has none, or several.
    """
    layers = list(model._flatten_layers())
    ensembles = [layer for layer in layers if isinstance(layer, TreeEnsemble)]
    if len(ensembles) != 1 or ensembles[0] not in model.layers:
        raise ModelError(
            f"Method 'tree' is for models of one tree ensemble; family '{model.name}' holds {len(ensembles)}. Use "
            "--methods integrated_gradients for networks, permutation or kernel for anything else."
        )
    layer = ensembles[0]
    level = next((one.output for one in model.layers if one.name == "level"), None)
    inputs = {tensor.name: tensor for tensor in model.inputs}
    wanted = [layer.input] if level is None else [layer.input, level]
    inner = keras.Model(inputs, wanted)

    def reader(inputs: dict[str, Any], training: bool = False) -> tuple[Any, Any]:
        outputs = inner(inputs, training=training)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return outputs[0], None if level is None else outputs[1]

    return TakenOut(layer, reader, layers, len(layer.input.shape) == 3)
