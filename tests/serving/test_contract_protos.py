"""Protobuf messages without TensorFlow, and no harm to a TensorFlow imported in the same process."""

import subprocess
import sys

import pytest

from keras_seq.errors import ServingError
from serving.contract import protos

LOAD = """
from serving.contract import protos
for path in ("tensorflow/core/framework/types_pb2", "tensorflow/core/framework/tensor_shape_pb2",
             "tensorflow/core/protobuf/saved_model_pb2", "tensorflow_serving/apis/prediction_service_pb2_grpc",
             "tensorflow_serving/apis/model_service_pb2_grpc", "tensorflow_serving/apis/prediction_log_pb2",
             "tensorflow_serving/config/model_server_config_pb2"):
    protos.load(path)
tensor = protos.framework("tensor").TensorProto(dtype=1, float_val=[1.0])
request = protos.apis("predict").PredictRequest(inputs={"x": tensor})
example = protos.example().Example.FromString(b"")
"""
REAL = """
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
assert tf.make_tensor_proto([1.0]).__class__ is protos.framework("tensor").TensorProto
assert tf.train.Example is protos.example().Example
assert predict_pb2.PredictRequest is protos.apis("predict").PredictRequest
predict_pb2.PredictRequest().inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
assert float(tf.constant(2.0) * 2) == 4.0
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


def test_no_tensorflow_is_imported():
    done = run(LOAD + "import sys; assert not [name for name in sys.modules if name.startswith('tensorflow')]")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", [LOAD + REAL, "import tensorflow\n" + LOAD + REAL], ids=["before", "after"])
def test_tensorflow_works_in_the_same_process(code):
    done = run(code)
    assert done.returncode == 0, done.stderr[-2000:]


def test_loaded_once_under_either_spelling():
    assert protos.load("tensorflow/core/framework/types_pb2") is protos.load("tensorflow.core.framework.types_pb2")
    assert protos.config("model_server_config").ModelServerConfig().SerializeToString() == b""


@pytest.mark.parametrize("path", ["tensorflow/core/framework/nothing_pb2", "os/path", "tensorflow", ""])
def test_unknown_modules(path):
    with pytest.raises(ServingError, match="There are no protobuf messages"):
        protos.load(path)
