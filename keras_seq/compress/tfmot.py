"""TF-MOT around the layers of a twin: pruning, clustering, quantisation-aware training; its only importer.

Each treatment wraps built layers (``wrap``), is told of training (``begin``, ``end_epoch``) and at last leaves the
final values in the layers' own variables (``finish``), which go back to Keras 3 unchanged.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from keras_seq.models.tensor import Shape, Tensor

# TF-MOT sets TF_USE_LEGACY_KERAS when imported, and tf.keras is whatever that variable says when first touched. So
# tf.keras is touched before, and the variable put back: shap and every child process go on with Keras 3.
_KERAS_3, _LEGACY = tf.keras.Model, os.environ.get("TF_USE_LEGACY_KERAS")
import tensorflow_model_optimization as tfmot  # noqa: E402
import tf_keras  # noqa: E402
from tensorflow_model_optimization.python.core.clustering.keras.experimental import (  # noqa: E402
    cluster as sparse_clustering,
)

from keras_seq.errors import ModelError  # noqa: E402

os.environ.pop("TF_USE_LEGACY_KERAS", None)
if _LEGACY is not None:
    os.environ["TF_USE_LEGACY_KERAS"] = _LEGACY

UPDATES = 12  # of the pruning masks
PRUNING_SHARE = 0.4  # of the steps; the rest trains what is left


class Treatment(ABC):
    """A compression method as fine-tuning needs it."""

    @abstractmethod
    def wrap(self, name: str, layer: tf_keras.layers.Layer) -> Any:
        """What takes the place of a built tf_keras layer with its weights."""

    def begin(self, model: tf_keras.Model) -> None:  # noqa: B027 - most have nothing to do
        """Before the first step."""

    def end_epoch(self) -> bool:
        """After an epoch: leave valid weights in the variables; whether they are of the final kind yet."""
        return True

    @abstractmethod
    def finish(self) -> None:
        """Write the final values into the layers' own variables."""


def make_treatment(stage: str, options: Mapping[str, Any], *, steps: int) -> Treatment:
    """The treatment of a stage.

    Args:
        stage: "prune", "cluster" or "qat".
        options: ``sparsity`` by layer, ``clusters``.
        steps: of the whole fine-tuning.
    """
    if stage == "prune":
        return Prune(options["sparsity"], steps)
    if stage == "cluster":
        return WeightClustering(options["clusters"])
    return Quantise()


class Prune(Treatment):
    """Magnitude pruning on a polynomial schedule (Zhu & Gupta, 2017).

    Args:
        sparsity: share of zeros by layer; 0 leaves a layer as it is.
        steps: of the fine-tuning.
    """

    def __init__(self, sparsity: Mapping[str, float], steps: int) -> None:
        self.sparsity = sparsity
        self.frequency = max(int(steps * PRUNING_SHARE) // UPDATES, 1)
        self.end = self.frequency * max(min(UPDATES, int(steps * PRUNING_SHARE)), 1)
        self.wrappers: list[Any] = []
        self.callback = tfmot.sparsity.keras.UpdatePruningStep()

    def wrap(self, name: str, layer: tf_keras.layers.Layer) -> Any:
        """See ``Treatment``."""
        if not self.sparsity.get(name):
            return layer
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=self.sparsity[name],
            begin_step=0,
            end_step=self.end,
            frequency=self.frequency,
        )
        self.wrappers.append(tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule))
        return self.wrappers[-1]

    def begin(self, model: tf_keras.Model) -> None:
        """See ``Treatment``."""
        self.callback.set_model(model)
        self.callback.on_train_begin()

    def end_epoch(self) -> bool:
        """See ``Treatment``."""
        self.callback.on_epoch_end(0)
        return all(int(wrapper.pruning_step) >= self.end for wrapper in self.wrappers)

    def finish(self) -> None:
        """Check that the masks were kept: the optimizer moves pruned weights until they are masked again."""
        self.end_epoch()
        for wrapper in self.wrappers:
            for weight, mask, _ in wrapper.pruning_vars:
                if np.any(weight.numpy()[mask.numpy() == 0]):
                    raise ModelError(f"Pruning of '{wrapper.layer.name}' did not keep its zeros; report this as a bug.")


class WeightClustering(Treatment):
    """Weight clustering (Han et al., 2016): each kernel has at most ``clusters`` values; zeros stay zeros.

    Args:
        clusters: values of a kernel, zero included.
    """

    def __init__(self, clusters: int) -> None:
        self.clusters = clusters
        self.wrappers: list[Any] = []

    def wrap(self, name: str, layer: tf_keras.layers.Layer) -> Any:
        """See ``Treatment``; a pruned kernel gets one centroid that is held at zero."""
        kinds = tfmot.clustering.keras.CentroidInitialization
        pruned = any(np.mean(weight.numpy() == 0) > 0.05 for weight in layer.weights if len(weight.shape) > 1)
        make = sparse_clustering.cluster_weights if pruned else tfmot.clustering.keras.cluster_weights
        extra = {"preserve_sparsity": True} if pruned else {}
        init = kinds.KMEANS_PLUS_PLUS if pruned else kinds.LINEAR
        wrapper = make(layer, number_of_clusters=self.clusters, cluster_centroids_init=init, **extra)
        self.wrappers.append(wrapper)
        return wrapper

    def finish(self) -> None:
        """See ``Treatment``."""
        for wrapper in self.wrappers:
            wrapper.update_clustered_weights_associations()
            for name, variable in wrapper.original_clusterable_weights.items():
                variable.assign(_clustered(wrapper, name))


def _clustered(wrapper: tf_keras.layers.Layer, name: str) -> Any:
    """The clustered values that the wrapper has set in its layer."""
    if "." not in name:
        return wrapper.get_weight_from_layer(name)
    part, _, attribute = name.rpartition(".")  # of attention: '_query_dense.kernel'
    return getattr(getattr(wrapper.layer, part), attribute)


class Quantise(Treatment):
    """Quantisation-aware training (Jacob et al., 2018): kernels and outputs pass through int8 while training.

    The float weights are what is kept: they have learnt to bear rounding, and the exporters round them.
    """

    def __init__(self) -> None:
        self.wrappers: list[Any] = []

    def wrap(self, name: str, layer: tf_keras.layers.Layer) -> Any:
        """See ``Treatment``."""
        wrapper = tfmot.quantization.keras.QuantizeWrapperV2(layer, KernelConfig(_kernels(layer)))
        self.wrappers.append(wrapper)
        return wrapper

    def finish(self) -> None:
        """The variables hold the float weights already; masked ones exactly zero."""
        for wrapper in self.wrappers:
            for weight, _, held in wrapper._weight_vars:
                weight.assign(weight * held["mask"])


class KernelQuantizer(tfmot.quantization.keras.quantizers.LastValueQuantizer):
    """Symmetric int8, one scale a kernel (as ONNX Runtime and TFLite round recurrent kernels); zeros stay zeros.

    Args:
        values: the kernel at the start.
    """

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(num_bits=8, per_axis=False, symmetric=True, narrow_range=True)
        self.mask = (values != 0).astype(np.float32)

    def build(self, tensor_shape: Shape, name: str, layer: tf_keras.layers.Layer) -> dict[str, Any]:
        """Ranges, and which weights are pruned."""
        return {**super().build(tensor_shape, name, layer), "mask": tf.constant(self.mask)}

    def __call__(self, inputs: Tensor, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Rounded values of the kernel; pruned weights get no gradient."""
        return super().__call__(inputs * weights["mask"], training, weights, **kwargs)


class KernelConfig(tfmot.quantization.keras.QuantizeConfig):
    """What TF-MOT's registry lacks: which weights of LSTM, GRU, Conv1D and attention layers are rounded.

    Args:
        places: owner and attribute of each kernel.
    """

    def __init__(self, places: list[tuple[Any, str]]) -> None:
        self.places = places

    def get_weights_and_quantizers(self, layer: tf_keras.layers.Layer) -> list[tuple[Any, Any]]:
        """Kernels with a quantizer each."""
        kernels = [getattr(owner, name) for owner, name in self.places]
        return [(kernel, KernelQuantizer(kernel.numpy())) for kernel in kernels]

    def set_quantize_weights(self, layer: tf_keras.layers.Layer, quantize_weights: list[Any]) -> None:
        """Put rounded kernels in place for this call."""
        for (owner, name), value in zip(self.places, quantize_weights, strict=True):
            setattr(owner, name, value)

    def get_activations_and_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        """None: gates and activations run in float."""
        return []

    def set_quantize_activations(self, layer: tf_keras.layers.Layer, quantize_activations: list[Any]) -> None:
        """Nothing to set."""

    def get_output_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        """Recurrent outputs are what the next layer reads as int8; they lie within (-1, 1)."""
        if not isinstance(layer, (tf_keras.layers.LSTM, tf_keras.layers.GRU)):
            return []
        quantizers = tfmot.quantization.keras.quantizers
        return [quantizers.MovingAverageQuantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)]

    def get_config(self) -> dict[str, Any]:
        """Never saved."""
        return {}


def _kernels(layer: tf_keras.layers.Layer) -> list[tuple[Any, str]]:
    """Where the kernels of a tf_keras layer are."""
    if isinstance(layer, tf_keras.layers.MultiHeadAttention):
        parts = (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
        return [(part, "kernel") for part in parts]
    if isinstance(layer, (tf_keras.layers.LSTM, tf_keras.layers.GRU)):
        return [(layer.cell, "kernel"), (layer.cell, "recurrent_kernel")]
    return [(layer, "kernel")]
