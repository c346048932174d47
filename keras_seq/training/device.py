"""Where a run computes: device, precision, determinism; set for a block and put back after it.

A model must be built inside ``session``: the precision policy and the device are read when its
layers are made.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keras_seq.config import TrainingConfig
from keras_seq.errors import ConfigError, DeviceError
from keras_seq.models.xla_flags import prepare_environment

if TYPE_CHECKING:
    import tensorflow as tf

POLICIES = {"none": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


def choose_device(spec: str) -> str:
    """TensorFlow name of the device that ``spec`` means: "/CPU:0", "/GPU:0", ...

    Args:
        spec: "auto" (the first GPU, else the CPU), "cpu", "gpu" or "gpu:N".

    Raises:
        ConfigError: ``spec`` is none of these.
        DeviceError: the GPU is not there.
    """
    match = re.fullmatch(r"auto|cpu|gpu(?::(\d+))?", spec.strip().lower())
    if not match:
        raise ConfigError(f"Option 'training.device' must be auto, cpu, gpu or gpu:N (as gpu:0). Got '{spec}'.")
    wanted = match.group(0)
    if wanted == "cpu":
        return "/CPU:0"
    gpus = _gpus()
    number = int(match.group(1) or 0)
    if number < len(gpus):
        _grow_memory(gpus)
        return f"/GPU:{number}"
    if wanted == "auto":
        return "/CPU:0"
    raise DeviceError(
        f"Option 'training.device' asks for '{spec}', but TensorFlow sees {_listing(gpus)} on this machine. "
        + (
            f"Choose gpu:0{f' to gpu:{len(gpus) - 1}' if len(gpus) > 1 else ''}."
            if gpus
            else "Use --training.device cpu, or install TensorFlow with CUDA (pip install 'keras_seq[gpu]') beside a "
            "working NVIDIA driver (nvidia-smi must list the card, and CUDA_VISIBLE_DEVICES must not hide it)."
        )
    )


def describe_device(name: str) -> str:
    """One line on the device in use: ``"CPU (2 cores)"`` or ``"GPU 0 (NVIDIA H200)"``."""
    kind, _, number = name.strip("/").partition(":")
    if kind == "CPU":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"CPU ({cores} core{'' if cores == 1 else 's'})"
    import tensorflow as tf

    details = tf.config.experimental.get_device_details(_gpus()[int(number)])
    return f"GPU {number} ({details.get('device_name', 'unknown')})"


@contextmanager
def precision(kind: str) -> Iterator[None]:
    """Keras' global precision policy for the block: "none", "float16" or "bfloat16"."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[kind])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """Bit-equal operations for the block (slower; XLA is off)."""
    from tensorflow.python.framework import config as tf_config  # the public name has no way back

    before = tf_config.is_op_determinism_enabled()
    if wanted and not before:
        tf_config.enable_op_determinism()
    try:
        yield
    finally:
        if wanted and not before:
            tf_config.disable_op_determinism()


@contextmanager
def session(training: TrainingConfig, *, seed: int) -> Iterator[str]:
    """Seed everything and choose the device, precision and determinism for the block.

    Args:
        training: device, mixed_precision and deterministic.
        seed: of Python, numpy and TensorFlow.

    Yields:
        Name of the device, as ``choose_device`` gives it.

    Raises:
        DeviceError: a GPU was asked for and is not there.
    """
    prepare_environment()
    device = choose_device(training.device)
    import keras
    import tensorflow as tf

    if training.strategy == "mirrored" and device == "/CPU:0":
        split_cpu()
    keras.utils.set_random_seed(seed)
    with determinism(training.deterministic), precision(training.mixed_precision), tf.device(device):
        yield device


def split_cpu() -> None:
    """Split the CPU into two logical devices for mirroring; without effect once TensorFlow has started."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        with contextlib.suppress(RuntimeError):
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def _gpus() -> list[tf.config.PhysicalDevice]:
    import tensorflow as tf

    return list(tf.config.list_physical_devices("GPU"))


def _listing(gpus: list[tf.config.PhysicalDevice]) -> str:
    return f"only {len(gpus)} GPU{'' if len(gpus) == 1 else 's'}" if gpus else "no GPU, only the CPU,"


def _grow_memory(gpus: list[tf.config.PhysicalDevice]) -> None:
    """Take GPU memory as needed instead of all at once, so that others can use the card too."""
    import tensorflow as tf

    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # TensorFlow has started: what it has now stays
            return
