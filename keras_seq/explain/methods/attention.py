"""What attention looks at: weights by head, and their rollout through the layers (Abnar and Zuidema, 2020).

Attention weights say where a layer reads, not how much an answer moved; they stand beside attributions, they do not
replace them (Jain and Wallace, 2019).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.errors import ModelError
from keras_seq.explain.attribution import ALL, Attribution
from keras_seq.explain.registry import register

if TYPE_CHECKING:
    import keras

    from keras_seq.explain.explained_model import ExplainedModel
    from keras_seq.explain.masked_model import MaskedModel


@dataclass(frozen=True)
class AttentionWeights:
    """Weights of all samples.

    Attributes:
        heads: by layer, float32 ``(samples, heads, time, time)``: row reads column; 0 at padding.
        rollout: float64 ``(samples, time)``: share of each step in what the answer reads.
    """

    heads: dict[str, NDArray[np.float32]]
    rollout: NDArray[np.float64]


def has_attention(model: keras.Model) -> bool:
    """Whether a model has an attention layer or attention pooling."""
    from keras_seq.models.attention import SelfAttention
    from keras_seq.models.blocks import AttentionPooling

    return any(isinstance(layer, (SelfAttention, AttentionPooling)) for layer in model.layers)


def require_attention(model: keras.Model) -> None:
    """Refuse models that do not attend.

    Raises:
        ModelError: names the family and those that have attention.
    """
    if not has_attention(model):
        raise ModelError(
            f"Method 'attention' was asked of a model of family '{model.name}', which has no attention; families "
            "attention_lstm and transformer have, and any network with model.pooling attention."
        )


def attention_weights(masked: MaskedModel) -> AttentionWeights:
    """Weights of every attention layer, and their rollout to the step (or pooling) that the answer reads.

    Raises:
        ModelError: no attention, or layers that see other rows than samples (channel-independent models).
    """
    import keras

    from keras_seq.models.attention import SelfAttention
    from keras_seq.models.blocks import AttentionPooling, LastStep

    model = masked.explained.model
    require_attention(model)
    layers = [layer for layer in model.layers if isinstance(layer, SelfAttention)]
    time_axis = masked.samples.values.shape[1]
    heads: dict[str, list[NDArray[Any]]] = {layer.name: [] for layer in layers}
    rolled = np.zeros((len(masked.samples), time_axis))
    pooling = next((layer for layer in model.layers if isinstance(layer, AttentionPooling)), None)
    wanted = [*layers, *([pooling] if pooling else [])]
    read = [_inputs(layer) for layer in wanted]
    reader = keras.Model(model.inputs, [tensor for one in read for tensor in one])
    last = any(isinstance(layer, LastStep) and layer.name != "last_values" for layer in model.layers)
    for k in range(len(masked.samples)):
        length, width = int(masked.samples.lengths[k]), int(masked.width[k])
        inputs = masked.explained.inputs(masked.samples.values[k : k + 1, :width], masked.samples.lengths[k : k + 1])
        flat = reader([inputs[tensor.name] for tensor in model.inputs], training=False)
        inputs_by_layer = _regrouped(flat if isinstance(flat, (list, tuple)) else [flat], read)
        scores = [
            np.asarray(layer.scores(*one))[:, :, :, :] for layer, one in zip(layers, inputs_by_layer, strict=False)
        ]
        if any(len(one) != 1 for one in scores):
            raise ModelError(
                "Method 'attention': the layers of a channel-independent model see one sensor at a time, so there is "
                "no common weight of a step; use another method."
            )
        for layer, one in zip(layers, scores, strict=True):
            full = np.zeros((one.shape[1], time_axis, time_axis), np.float32)
            steps = min(one.shape[2], length)
            full[:, :steps, :steps] = one[0, :, :steps, :steps]
            heads[layer.name].append(full)
        pool = None if pooling is None else np.asarray(pooling.weights_over_time(*inputs_by_layer[-1]))[0, :, 0]
        rolled[k] = _rollout([one[0].mean(0) for one in scores], pool, last, length, time_axis)
    return AttentionWeights({name: np.stack(parts) for name, parts in heads.items()}, rolled)


def _attends(name: str, explained: ExplainedModel, model: keras.Model) -> None:
    require_attention(explained.model)


@register(check=_attends, rank=11, beside=True)
def attention(masked: MaskedModel) -> Attribution:
    """The rollout as one column, summing to 1 over the real steps of each sample."""
    start = time.perf_counter()
    weights = attention_weights(masked)
    return Attribution(
        weights.rollout[:, :, None].astype(np.float32),
        masked.base,
        masked.predictions,
        masked.samples.lengths,
        (ALL,),
        ("",),
        "attention",
        f"attention behind {masked.explained.target.name}",
        "",
        masked.samples.names,
        False,
        masked.output_range,
        {"layers": list(weights.heads), "seconds": time.perf_counter() - start},
    )


def _inputs(layer: keras.layers.Layer) -> list[Any]:
    tensors = layer.input
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _regrouped(flat: Sequence[Any], like: list[list[Any]]) -> list[list[Any]]:
    tensors = iter(flat)
    return [[next(tensors) for _ in one] for one in like]


def _rollout(
    layers: list[NDArray[Any]], pool: NDArray[Any] | None, last: bool, length: int, time_axis: int
) -> NDArray[np.float64]:
    """Share of every step ``(time_axis,)``; a residual connection counts as half of a layer."""
    rollout = np.zeros(time_axis)
    if not length:
        return rollout
    own = layers[0].shape[0] if layers else len(pool)  # type: ignore[arg-type]
    steps = max(1, round(length * own / time_axis)) if own < length else length  # patches are fewer than steps
    product = np.eye(steps)
    for weights in layers:
        product = (0.5 * weights[:steps, :steps] + 0.5 * np.eye(steps)) @ product
    reads = pool[:steps] if pool is not None else np.eye(steps)[-1] if last else np.full(steps, 1.0 / steps)
    share = reads @ product
    wide = np.repeat(share, -(-length // steps))[:length] if steps < length else share
    rollout[:length] = wide / max(wide.sum(), 1e-12)
    return rollout
