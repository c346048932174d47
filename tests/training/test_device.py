from __future__ import annotations

import os

import keras
import pytest
import tensorflow as tf

from keras_seq.config import TrainingConfig
from keras_seq.errors import ConfigError, DeviceError
from keras_seq.training.device import choose_device, describe_device, session

GPUS = len(tf.config.list_physical_devices("GPU"))


def test_auto_takes_what_is_there() -> None:
    assert choose_device("auto") == ("/GPU:0" if GPUS else "/CPU:0")
    assert choose_device("cpu") == "/CPU:0"


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match="asks for 'gpu:7', but TensorFlow sees"):
        choose_device("gpu:7")


@pytest.mark.skipif(GPUS > 0, reason="this machine has a GPU")
def test_without_any_gpu_the_message_says_how_to_get_one() -> None:
    with pytest.raises(DeviceError, match=r"no GPU, only the CPU.*--training.device cpu.*keras_seq\[gpu\].*nvidia-smi"):
        choose_device("gpu")


@pytest.mark.parametrize("spec", ["tpu", "gpu:x", "", "gpu:-1"])
def test_an_unknown_device_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="auto, cpu, gpu or gpu:N"):
        choose_device(spec)


def test_the_cpu_is_described_by_its_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert describe_device("/CPU:0") == f"CPU ({cores} core{'' if cores == 1 else 's'})"


def test_a_session_sets_precision_and_puts_it_back() -> None:
    before = keras.config.dtype_policy().name
    with session(TrainingConfig(mixed_precision="bfloat16", device="cpu"), seed=1) as device:
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert tf.constant(1.0).device.endswith("CPU:0") and device == "/CPU:0"
    assert keras.config.dtype_policy().name == before


def test_determinism_ends_with_the_session() -> None:
    from tensorflow.python.framework.config import is_op_determinism_enabled

    with session(TrainingConfig(deterministic=True, device="cpu"), seed=1):
        assert is_op_determinism_enabled()
    assert not is_op_determinism_enabled()


def test_a_session_seeds_the_layers() -> None:
    weights = []
    for _ in range(2):
        with session(TrainingConfig(device="cpu"), seed=5):
            weights.append(keras.layers.Dense(2).build((None, 3)) or keras.random.uniform((3,)).numpy())
    assert (weights[0] == weights[1]).all()
