"""Recurrent layers written the way converters recognise: the weights and results of Keras', fused ops in the file."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_seq.errors import ExportError

if TYPE_CHECKING:
    from keras_seq.models.tensor import Tensor


class LoopGRU(keras.layers.GRU):
    """A GRU as a plain loop over one cell, which tf2onnx writes as one ONNX GRU node.

    The cell's equations with ``reset_after`` (Cho et al., 2014, in cuDNN's form)::

        z, r = sigmoid(x_t W + h U + b)    n = tanh(x_t W_n + b_n + r * (h U_n + c_n))
        h_t = z * h + (1 - z) * n

    Takes dense ``(batch, time, features)``, any batch and time; for inference only.
    """

    def inner_loop(self, sequences: Tensor, initial_state: Tensor, mask: Tensor, training: bool = False) -> Any:
        """Run all steps; returns the last output, all outputs ``(batch, time, units)`` and the state."""
        cell = self.cell
        if not (cell.reset_after and cell.use_bias):
            raise ExportError(
                f"GRU layer '{self.name}' cannot be written as one operation: it needs reset_after=True and "
                "use_bias=True, as every layer of the family 'gru' has."
            )
        kernel, recurrent = tf.convert_to_tensor(cell.kernel), tf.convert_to_tensor(cell.recurrent_kernel)
        bias, recurrent_bias = tf.unstack(tf.convert_to_tensor(cell.bias))
        x = tf.transpose(sequences, [1, 0, 2])
        time = tf.shape(x)[0]
        steps = tf.TensorArray(x.dtype, size=time).unstack(x)
        outputs = tf.TensorArray(x.dtype, size=time, element_shape=(x.shape[1], self.units))

        def step(t: Tensor, h: Tensor, outputs: Tensor) -> tuple[Any, Any, Any]:
            xz, xr, xn = tf.split(tf.nn.bias_add(tf.matmul(steps.read(t), kernel), bias), 3, axis=1)
            hz, hr, hn = tf.split(tf.nn.bias_add(tf.matmul(h, recurrent), recurrent_bias), 3, axis=1)
            z, r = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
            h = z * h + (1 - z) * tf.tanh(xn + r * hn)
            return t + 1, h, outputs.write(t, h)

        _, h, outputs = tf.while_loop(
            lambda t, *_: t < time, step, (0, initial_state[0], outputs), maximum_iterations=time
        )
        return h, tf.transpose(outputs.stack(), [1, 0, 2]), [h]


class LiteLSTM(keras.layers.LSTM):
    """An LSTM which the TFLite converter writes as one UNIDIRECTIONAL_SEQUENCE_LSTM; batch and time fixed.

    The converter recognises tf_keras' own loop by the attributes of its function: a name that starts with
    ``lstm_`` and, else it writes an empty file, ``go_backwards`` and ``time_major``.
    """

    def inner_loop(self, sequences: Tensor, initial_state: Tensor, mask: Tensor, training: bool = False) -> Any:
        """Run all steps; returns the last output, all outputs ``(batch, time, units)`` and the states."""
        from tf_keras.src.layers.rnn.gru_lstm_utils import generate_defun_backend
        from tf_keras.src.layers.rnn.lstm import standard_lstm

        attributes = {"go_backwards": False, "time_major": False}
        run = generate_defun_backend(f"lstm_{uuid.uuid4()}", "CPU", standard_lstm, attributes)
        last, outputs, h, c, _ = run(
            inputs=sequences,
            init_h=tf.convert_to_tensor(initial_state[0]),
            init_c=tf.convert_to_tensor(initial_state[1]),
            kernel=tf.convert_to_tensor(self.cell.kernel),
            recurrent_kernel=tf.convert_to_tensor(self.cell.recurrent_kernel),
            bias=tf.convert_to_tensor(self.cell.bias),
            mask=None,
            time_major=False,
            go_backwards=False,
            sequence_lengths=None,
            zero_output_for_mask=False,
            return_sequences=True,
        )
        return last, outputs, [h, c]


def in_float32(model: keras.Model) -> keras.Model:
    """``model`` itself, or of one trained in half precision its copy that computes in float32 on the same weights.

    Half precision speeds training up; answers rounded by it differ from runtime to runtime by more than any format.
    """
    from keras_seq.models.views import plain_twin

    half = any(layer.dtype_policy.name.startswith("mixed") for layer in model._flatten_layers(include_self=False))
    return plain_twin(model) if half else model


FOR_ONNX = {keras.layers.GRU: LoopGRU}
FOR_TFLITE = {keras.layers.LSTM: LiteLSTM, keras.layers.GRU: LoopGRU}
