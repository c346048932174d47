"""Protobuf text files as messages, with the line of what is wrong."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from keras_seq.errors import ConfigError
from serving.contract.protos import Message

MAX_BYTES = 16 * 2**20  # of a config file; a list of ten thousand models has a tenth of it

# Messages that tensorflow-serving-api leaves out; names and numbers of its session_bundle_config.proto,
# monitoring_config.proto and ssl_config.proto. Wrapped numbers (google.protobuf.Int64Value) are written
# "max_batch_size { value: 32 }".
_WRAPPED = {"int64": ".google.protobuf.Int64Value", "bool": ".google.protobuf.BoolValue"}
_BATCHING: tuple[tuple[str, int, str, bool], ...] = (
    ("max_batch_size", 1, _WRAPPED["int64"], False),
    ("batch_timeout_micros", 2, _WRAPPED["int64"], False),
    ("max_enqueued_batches", 3, _WRAPPED["int64"], False),
    ("num_batch_threads", 4, _WRAPPED["int64"], False),
    ("thread_pool_name", 5, ".google.protobuf.StringValue", False),
    ("allowed_batch_sizes", 6, "int64", True),
    ("pad_variable_length_inputs", 7, "bool", False),
    ("enable_large_batch_splitting", 8, _WRAPPED["bool"], False),
    ("max_execution_batch_size", 9, _WRAPPED["int64"], False),
)
_PROMETHEUS = (("enable", 1, "bool", False), ("path", 2, "string", False))
_SSL = (
    ("server_key", 1, "string", False),
    ("server_cert", 2, "string", False),
    ("custom_ca", 3, "string", False),
    ("client_verify", 4, "bool", False),
)
_MONITORING = (("prometheus_config", 1, ".serving.text.PrometheusConfig", False),)


@functools.cache
def message_class(name: str) -> Any:
    """The class of ``BatchingParameters``, ``MonitoringConfig`` or ``SSLConfig``."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

    file = descriptor_pb2.FileDescriptorProto(name="serving/text.proto", package="serving.text", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    messages = {"BatchingParameters": _BATCHING, "PrometheusConfig": _PROMETHEUS, "MonitoringConfig": _MONITORING}
    messages["SSLConfig"] = _SSL
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for field, number, kind, repeated in fields:
            label = 3 if repeated else 1  # LABEL_REPEATED, LABEL_OPTIONAL
            added = described.field.add(name=field, number=number, label=label)
            if kind.startswith("."):
                added.type, added.type_name = added.TYPE_MESSAGE, kind
            else:
                added.type = getattr(added, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()  # of its own: nobody else's names are touched
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"serving.text.{name}"))


def parse_text(text: str, message: Message) -> Message:
    """Fill ``message``.

    Raises:
        ValueError: says the line, the column and what is wrong there.
    """
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        line, column = error.GetLine(), error.GetColumn()
        what = str(error).partition(" : ")[2] or str(error)
        where = f"line {line}, column {column}: " if line else ""
        raise ValueError(f"{where}{what.strip().rstrip('.')}") from None


def read_text(path: str | Path, option: str) -> str:
    """The text of a config file.

    Args:
        path: of the file.
        option: that named it, for the message.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 text or larger than ``MAX_BYTES``.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(
                f"The file '{path}' of {option} is larger than {MAX_BYTES >> 20} MiB; is it the right one?"
            )
        return content.decode()
    except OSError as error:
        raise ConfigError(f"The file '{path}' of {option} cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"The file '{path}' of {option} is no text: byte {error.start} is not UTF-8.") from None
