"""TensorProto and arrays: the same as TensorFlow's own conversion, both ways, for every dtype."""

import ml_dtypes
import numpy as np
import pytest

from serving.contract import protos
from serving.contract.status import Refused
from serving.contract.tensor_protos import to_array, to_proto

DTYPES = [np.float32, np.float64, np.int32, np.uint8, np.int16, np.int8, np.complex64, np.int64, np.bool_]
DTYPES += [np.uint16, np.complex128, np.float16, ml_dtypes.bfloat16, np.uint32, np.uint64]


def some(dtype):
    values = np.random.default_rng(3).integers(0, 2 if dtype is np.bool_ else 100, (2, 3))
    return values.astype(dtype)


def tensor():
    return protos.framework("tensor").TensorProto()


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_there_and_back(dtype, content):
    given, made = some(dtype), tensor()
    to_proto(given, made, content=content)
    assert bool(made.tensor_content) is content
    back = to_array(made, "x")
    assert back.dtype == given.dtype and np.array_equal(back, given)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_agrees_with_tensorflow(dtype):
    tf = pytest.importorskip("tensorflow")
    given, made = some(dtype), tensor()
    to_proto(given, made)
    assert np.array_equal(tf.make_ndarray(made), given)
    assert np.array_equal(to_array(tf.make_tensor_proto(given), "x"), given)
    assert np.array_equal(to_array(tf.make_tensor_proto(given[0, 0]), "x"), given[0, 0])


def test_strings():
    given, made = np.array([[b"a", b"\xff\x00"], [b"", "é".encode()]], object), tensor()
    to_proto(given, made)
    assert np.array_equal(to_array(made, "x"), given)


def test_fewer_values_repeat_the_last_one_and_none_are_zeros():
    made = tensor()
    made.dtype = 1
    for size in (2, 2):
        made.tensor_shape.dim.add().size = size
    assert to_array(made, "x").tolist() == [[0, 0], [0, 0]]
    made.float_val.extend([1, 2])
    assert to_array(made, "x").tolist() == [[1, 2], [2, 2]]


@pytest.mark.parametrize("spoil", ["many", "short", "dtype", "rank", "negative", "huge", "inflated"])
def test_tensors_that_contradict_themselves_are_refused(spoil):
    made = tensor()
    to_proto(np.zeros((2, 3), np.float32), made, content=spoil == "short")
    if spoil == "many":
        made.float_val.extend([1.0])
    elif spoil == "short":
        made.tensor_content = made.tensor_content[:-1]
    elif spoil == "dtype":
        made.dtype = 20  # DT_RESOURCE
    elif spoil == "rank":
        made.tensor_shape.unknown_rank = True
    elif spoil == "inflated":
        made.tensor_shape.dim[0].size = 2**28  # a gigabyte asked for in a few bytes
    else:
        made.tensor_shape.dim[0].size = -1 if spoil == "negative" else 2**40
    with pytest.raises(Refused, match="tensor parsing error: x"):
        to_array(made, "x")
