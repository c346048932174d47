"""The files of ``--batching_parameters_file`` and ``--monitoring_config_file``, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from keras_seq.errors import ConfigError
from serving.models.prototext import message_class, parse_text, read_text


@dataclass(frozen=True)
class BatchingParameters:
    """``BatchingParameters`` of TensorFlow Serving's ``session_bundle_config.proto``.

    Attributes:
        max_batch_size: rows of a batch, at most.
        batch_timeout_micros: how long a batch waits for more rows (microseconds); 0: takes what is queued.
        max_enqueued_batches: full batches that may wait; more calls are refused with UNAVAILABLE.
        num_batch_threads: batches that run at a time; None: the server decides.
        pad_variable_length_inputs: pad inputs of different sizes to the largest of the batch.
        allowed_batch_sizes: a batch is padded to the next of these; empty: to none.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int | None = None
    pad_variable_length_inputs: bool = False
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the batch scheduler refuses.

        Raises:
            ConfigError: names the parameter, its value and what it must be.
        """
        least = {"max_batch_size": 1, "batch_timeout_micros": 0, "max_enqueued_batches": 1, "num_batch_threads": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ConfigError(f"Batching parameter '{name}' is {value}; it must be {bound} or more.")
        sizes = self.allowed_batch_sizes
        if not sizes:
            return
        if sizes[0] < 1 or any(left >= right for left, right in pairwise(sizes)):
            raise ConfigError(
                f"Batching parameter 'allowed_batch_sizes' is {list(sizes)}; its sizes must be positive and increase."
            )
        if sizes[-1] != self.max_batch_size:
            raise ConfigError(
                f"The last of the batching parameter 'allowed_batch_sizes' is {sizes[-1]}; "
                f"it must equal 'max_batch_size', which is {self.max_batch_size}."
            )


@dataclass(frozen=True)
class Monitoring:
    """``MonitoringConfig``: whether and where Prometheus finds metrics.

    Attributes:
        enable: answer ``path`` with metrics.
        path: of the metrics.
    """

    enable: bool = False
    path: str = "/monitoring/prometheus/metrics"


def read_batching(path: str | Path) -> BatchingParameters:
    """Read ``--batching_parameters_file``; what it leaves out has TensorFlow Serving's default.

    Raises:
        ConfigError: the file cannot be read, has an unknown field (with its line) or a value that is not allowed.
    """
    message = _read(path, "--batching_parameters_file", "BatchingParameters")
    values: dict[str, Any] = {
        name: getattr(message, name).value
        for name in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
        if message.HasField(name)
    }
    for name in ("enable_large_batch_splitting", "max_execution_batch_size"):
        if message.HasField(name):
            raise ConfigError(
                f"The file '{path}' of --batching_parameters_file sets '{name}', which this server does not have: "
                "it never splits a call. Remove the field."
            )
    try:
        return BatchingParameters(
            pad_variable_length_inputs=message.pad_variable_length_inputs,
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            **values,
        )
    except ConfigError as error:
        raise ConfigError(f"The file '{path}' of --batching_parameters_file: {error}") from None


def read_monitoring(path: str | Path) -> Monitoring:
    """Read ``--monitoring_config_file``.

    Raises:
        ConfigError: the file cannot be read or has an unknown field (with its line), or the path lacks its slash.
    """
    prometheus = _read(path, "--monitoring_config_file", "MonitoringConfig").prometheus_config
    if prometheus.path and not prometheus.path.startswith("/"):
        raise ConfigError(
            f"The file '{path}' of --monitoring_config_file has the path '{prometheus.path}'; it must start with '/'."
        )
    return Monitoring(enable=prometheus.enable, path=prometheus.path or Monitoring.path)


def _read(path: str | Path, option: str, name: str) -> Any:
    try:
        return parse_text(read_text(path, option), message_class(name)())
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"The file '{path}' of {option} is no {name} in protobuf text: {error}.") from None
