"""Flags of ``python -m serving``: those of ``tensorflow_model_server`` by their own names, and ours."""

from __future__ import annotations

import ipaddress
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from keras_seq.errors import ConfigError, nearest

BACKENDS = ("auto", "embedded", "tensorflow_model_server", "docker")


def _flag(default: object, text: str, *, ours: bool = False) -> Any:
    return field(default=default, metadata={"help": text, "ours": ours})


@dataclass(frozen=True)
class Settings:
    """Every flag that means something here, by its name on the command line.

    Attributes are described by their ``metadata["help"]``, which ``--help`` prints; ``ours`` are those that
    ``tensorflow_model_server`` does not have. ``given`` are its own flags as they were written, to hand on to it.
    """

    port: int = _flag(8500, "gRPC port; 0: no gRPC")
    grpc_socket_path: str = _flag("", "also listen for gRPC on this UNIX socket")
    rest_api_port: int = _flag(8501, "REST port; 0: no REST")
    rest_api_num_threads: int = _flag(0, "calls that run at a time beside the event loop; 0: four a core")
    rest_api_timeout_in_ms: int = _flag(30_000, "time a call may take, queueing included")
    rest_api_enable_cors_support: bool = _flag(False, "CORS headers on every reply")
    enable_batching: bool = _flag(False, "put calls of any model together, as --batching_parameters_file says")
    batching_parameters_file: str = _flag("", "BatchingParameters as protobuf text")
    model_config_file: str = _flag("", "ModelServerConfig as protobuf text: several models, policies, labels")
    model_config_file_poll_wait_seconds: float = _flag(0.0, "between two looks at it; 0: read once")
    model_name: str = _flag("default", "name of the model in --model_base_path")
    model_base_path: str = _flag("", "folder of one model's versions")
    file_system_poll_wait_seconds: float = _flag(1.0, "between two looks for new versions; 0: look once")
    num_load_threads: int = _flag(0, "versions that load at a time; 0: by cores")
    max_num_load_retries: int = _flag(5, "attempts after a failed load")
    load_retry_interval_micros: int = _flag(60_000_000, "between two attempts; below 0: none")
    allow_version_labels_for_unavailable_models: bool = _flag(False, "labels may name versions that are not loaded")
    tensorflow_session_parallelism: int = _flag(0, "threads of one TensorFlow call; 0: TensorFlow decides")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads in one TensorFlow operation")
    tensorflow_inter_op_parallelism: int = _flag(0, "TensorFlow operations at a time")
    saved_model_tags: str = _flag("serve", "tags of the graph to load, by commas")
    ssl_config_file: str = _flag("", "SSLConfig as protobuf text: TLS for gRPC and REST")
    grpc_channel_arguments: str = _flag("", "name=value,... for the gRPC server")
    enable_model_warmup: bool = _flag(True, "replay a version's warm-up requests before it answers")
    enable_serialization_as_tensor_content: bool = _flag(False, "gRPC answers as tensor_content: smaller, faster")
    monitoring_config_file: str = _flag("", "MonitoringConfig as protobuf text: the Prometheus page")

    models: str = _flag("", "folder of models, all of which are served (default: saved_models)", ours=True)
    backend: str = _flag("auto", f"{'|'.join(BACKENDS)}; auto: the real server if installed", ours=True)
    host: str = _flag("127.0.0.1", "address to listen on", ours=True)
    insecure: bool = _flag(False, "allow other than loopback addresses without TLS or token", ours=True)
    token_file: str = _flag("", "clients must send 'Authorization: Bearer <content of this file>'", ours=True)
    workers: int = _flag(1, "processes that answer", ours=True)
    max_body_mb: int = _flag(64, "largest request, after inflation", ours=True)
    max_queue: int = _flag(1024, "calls that may wait; more are answered 503", ours=True)
    max_connections: int = _flag(4096, "open connections a worker; more are answered 503", ours=True)
    max_batch_rows: int = _flag(16, "rows of one run when calls are put together", ours=True)
    read_timeout_s: float = _flag(30.0, "time a client may take to send a request", ours=True)
    idle_timeout_s: float = _flag(120.0, "time a connection may lie idle", ours=True)
    drain_timeout_s: float = _flag(30.0, "time for calls in flight after SIGTERM", ours=True)
    extras_prefix: str = _flag("", "path prefix of health, model list and page, such as /keras_seq", ours=True)
    request_log: str = _flag("", "folder that takes requests/, a log of answered calls, and events", ours=True)
    monitor: str = _flag("", "settings of drift monitoring, YAML or JSON", ours=True)
    rollout: str = _flag("", "file of weights between versions and of shadow calls, followed as it changes", ours=True)
    prefer_tensorflow: bool = _flag(False, "run graphs in TensorFlow even where an ONNX twin lies beside", ours=True)
    onnx_threads: int = _flag(1, "threads of one ONNX Runtime call", ours=True)
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that cannot work together.

        Raises:
            ConfigError: names the flag, its value and how to mend it.
        """
        if self.backend not in BACKENDS:
            raise ConfigError(f"--backend is '{self.backend}'{nearest(self.backend, BACKENDS)}")
        _check_numbers(self)
        if self.rest_api_port and self.rest_api_port == self.port:
            raise ConfigError(f"--rest_api_port and --port are both {self.port}; give two different ports.")
        if not self.rest_api_port and not self.port and not self.grpc_socket_path:
            raise ConfigError("--rest_api_port and --port are both 0, so nothing would listen; give one a port.")
        if self.extras_prefix and (not self.extras_prefix.startswith("/") or self.extras_prefix.startswith("/v1")):
            raise ConfigError(
                f"--extras_prefix is '{self.extras_prefix}'; it must start with '/' and lie outside /v1, "
                "for example /keras_seq."
            )
        if not self.is_loopback and not (self.ssl_config_file or self.token_file or self.insecure):
            raise ConfigError(
                f"--host is '{self.host}', which other machines can reach, without TLS or a token. Give "
                "--ssl_config_file or --token_file, listen on 127.0.0.1, or say --insecure if the network is trusted."
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def threads(self) -> int:
        """Calls that run at a time beside the event loop."""
        return self.rest_api_num_threads or 4 * (os.cpu_count() or 1)


_NOT_NEGATIVE = (
    "port", "rest_api_port", "rest_api_num_threads", "num_load_threads", "max_num_load_retries", "max_queue",
    "model_config_file_poll_wait_seconds", "tensorflow_session_parallelism", "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism", "drain_timeout_s",
)  # fmt: skip
_POSITIVE = (
    "rest_api_timeout_in_ms", "workers", "max_body_mb", "max_connections", "max_batch_rows", "read_timeout_s",
    "idle_timeout_s", "onnx_threads",
)  # fmt: skip

# Flags of main.cc that change nothing here: what they steer does not exist in this server.
MEANINGLESS = frozenset((
    "enable_per_model_batching_parameters", "num_unload_threads", "flush_filesystem_caches",
    "tensorflow_session_config_file", "use_alts_credentials", "platform_config_file",
    "per_process_gpu_memory_fraction", "grpc_max_threads", "num_request_iterations_for_warmup",
    "remove_unused_fields_from_bundle_metagraph", "prefer_tflite_model", "use_tflite_model", "num_tflite_pools",
    "num_tflite_interpreters", "num_tflite_interpreters_per_pool", "enable_signature_method_name_check",
    "xla_cpu_compilation_enabled", "xla_gpu_compilation_enabled", "enable_profiler",
    "thread_pool_factory_config_file", "mixed_precision", "skip_initialize_tpu", "enable_grpc_healthcheck_service",
    "force_allow_any_version_labels_for_unavailable_models", "tensorflow_session_run_timeout",
))  # fmt: skip
_MEANINGLESS_SWITCHES = frozenset(
    name
    for name in MEANINGLESS
    if name.startswith(("enable_", "use_", "xla_", "prefer_", "skip_", "flush_", "remove_", "force_"))
)
_FIELDS = {each.name: each for each in fields(Settings) if each.name != "given"}
_KINDS: dict[str, type] = {name: type(each.default) for name, each in _FIELDS.items()}
_TRUE, _FALSE = ("true", "1", "t", "yes"), ("false", "0", "f", "no")


def _check_numbers(settings: Settings) -> None:
    for name in _NOT_NEGATIVE:
        if getattr(settings, name) < 0:
            raise ConfigError(f"--{name} is {getattr(settings, name)}; it must be 0 or more.")
    for name in _POSITIVE:
        if getattr(settings, name) <= 0:
            raise ConfigError(f"--{name} is {getattr(settings, name)}; it must be more than 0.")
    for name in ("port", "rest_api_port"):
        if getattr(settings, name) > 65535:
            raise ConfigError(f"--{name} is {getattr(settings, name)}; ports end at 65535.")


def parse(argv: Sequence[str]) -> Settings:
    """Flags as ``tensorflow_model_server`` reads them: ``--flag=value``, ``--flag value``, ``--switch``.

    Raises:
        ConfigError: an unknown flag (names the nearest known one), or a value that cannot be used.
    """
    values: dict[str, Any] = {}
    flags: list[str] = []
    words = list(argv)
    while words:
        name, text = _next(words)
        if name in MEANINGLESS:
            print(f"--{name} is accepted and changes nothing in this server", file=sys.stderr)
            flags.append(f"--{name}={text}")
        else:
            values[name] = _value(name, text)
            if not _FIELDS[name].metadata["ours"]:
                flags.append(f"--{name}={text}")
    return replace(Settings(**values), given=tuple(flags))


def _next(words: list[str]) -> tuple[str, str]:
    """Take one flag and its value off the front."""
    word = words.pop(0)
    if not word.startswith("-"):
        raise ConfigError(f"Unexpected argument '{word}'; flags are written --flag=value.")
    name, equals, text = word.lstrip("-").partition("=")
    name = name.replace("-", "_")
    if name not in _FIELDS and name not in MEANINGLESS:
        raise ConfigError(f"Unknown flag '--{name}'{nearest(name, [*_FIELDS, *MEANINGLESS])}")
    if equals:
        return name, text
    if _KINDS.get(name) is bool or name in _MEANINGLESS_SWITCHES:
        follows = words and words[0].lower() in (*_TRUE[:1], *_FALSE[:1])
        return name, words.pop(0) if follows else "true"
    if not words or words[0].startswith("--"):
        raise ConfigError(f"Flag '--{name}' needs a value, for example --{name}={_example(name)}.")
    return name, words.pop(0)


def _example(name: str) -> Any:
    return (_FIELDS[name].default if name in _FIELDS else "") or "..."


def _value(name: str, text: str) -> Any:
    kind = _KINDS[name]
    if kind is bool:
        if text.lower() not in (*_TRUE, *_FALSE):
            raise ConfigError(f"Flag '--{name}' is '{text}'; write --{name}=true or --{name}=false.")
        return text.lower() in _TRUE
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"Flag '--{name}' is '{text}'; it must be {what}, such as {_example(name)}.") from None


def flags() -> dict[str, Any]:
    """Every flag that means something here, with its default."""
    return {name: each.default for name, each in _FIELDS.items()}


def describe() -> str:
    """All flags with their defaults, for ``--help``."""
    lines = ["flags of tensorflow_model_server:"]
    for ours in (False, True):
        if ours:
            lines.append("\nflags of this server:")
        for name, each in _FIELDS.items():
            if each.metadata["ours"] is ours:
                default = str(each.default).lower() if isinstance(each.default, bool) else each.default
                text = f"{each.metadata['help']} [{default}]" if default != "" else each.metadata["help"]
                lines += textwrap.wrap(text, 112, initial_indent=f"  --{name}  ", subsequent_indent=" " * 8)
    lines.append("\n  --json  one JSON line when models answer; everything else on standard error")
    lines.append("\naccepted, without an effect here:")
    lines += textwrap.wrap(
        ", ".join(sorted(MEANINGLESS)), 112, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
    return "\n".join(lines)
