"""Models of a server: ``model_config_file``, one model on the command line, or a folder of models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from keras_seq.errors import ConfigError
from serving.contract.protos import Message
from serving.contract.status import Code, Refused, invalid
from serving.models.policy import VersionPolicy, find_models
from serving.models.prototext import parse_text, read_text

PLATFORM = "tensorflow"
_SCHEME = re.compile(r"[a-zA-Z][0-9a-zA-Z.]*://")  # io::ParseURI


@dataclass(frozen=True)
class ServedModelConfig:
    """Configuration of one model: name, base path, version policy, labels.

    Attributes:
        name: as clients name it.
        base_path: holds the version folders; absolute.
        policy: which versions are served.
        labels: names of version numbers.
        platform: what loads it.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    platform: str = PLATFORM


@dataclass(frozen=True)
class ServerConfig:
    """The models of a server, in the order of the file."""

    models: tuple[ServedModelConfig, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a name that is given twice.

        Raises:
            Refused: as TensorFlow Serving words it.
        """
        names = set[str]()
        for model in self.models:
            if model.name in names:
                raise invalid(f"Illegal to list model {model.name} multiple times in config list")
            names.add(model.name)

    def by_name(self) -> dict[str, ServedModelConfig]:
        """The models by name."""
        return {model.name: model for model in self.models}


def parse_config(text: str) -> ServerConfig:
    """Read the protobuf text of a ``ModelServerConfig``.

    Raises:
        Refused: unknown field (with its line), duplicate name, relative, missing or remote base path, platform other
            than ``tensorflow``; texts of ``server_core.cc`` where it has one.
    """
    from tensorflow_serving.config import model_server_config_pb2

    try:
        message = parse_text(text, model_server_config_pb2.ModelServerConfig())
    except ValueError as error:
        raise invalid(f"Invalid ModelServerConfig, {error}") from None
    return config_of(message)


def config_of(proto: Message) -> ServerConfig:
    """Models of a ``ModelServerConfig`` message."""
    if proto.WhichOneof("config") == "custom_model_config":
        raise invalid("ModelServer does not yet support custom model config.")
    return ServerConfig(tuple(_model(model) for model in proto.model_config_list.config))


def read_config(path: str | Path) -> ServerConfig:
    """Read a ``--model_config_file``.

    Raises:
        ConfigError: it cannot be read or used; names the file, the line or model and what is wrong.
    """
    try:
        return parse_config(read_text(path, "--model_config_file"))
    except Refused as error:
        raise ConfigError(f"The file '{path}' of --model_config_file cannot be used: {error.message}.") from None


def one_model(name: str, base_path: str | Path) -> ServerConfig:
    """One model with its latest version: ``--model_name`` and ``--model_base_path``.

    Raises:
        ConfigError: the base path is empty, relative to nothing that is there, or remote.
    """
    if not str(base_path):
        raise ConfigError("Option --model_base_path is empty; name the folder that holds the version folders.")
    path = str(base_path) if _SCHEME.match(str(base_path)) else str(Path(base_path).absolute())
    try:
        return ServerConfig((ServedModelConfig(name, _base(name, path)),))
    except Refused as error:
        raise ConfigError(f"Option --model_base_path cannot be used: {error.message}.") from None


def folder_config(folder: Path) -> ServerConfig:
    """Every sub-folder that holds versions is a model, sorted by name: ``--models``.

    Raises:
        OSError: the folder cannot be listed.
    """
    return ServerConfig(tuple(ServedModelConfig(name, path.absolute()) for name, path in find_models(folder).items()))


def _model(model: Message) -> ServedModelConfig:
    if not model.name:
        raise invalid("A model of the config list has no name; add name: '...'")
    platform = _platform(model)
    base = _base(model.name, model.base_path)
    return ServedModelConfig(
        model.name, base, _policy(model), MappingProxyType(dict(sorted(model.version_labels.items()))), platform
    )


def _platform(model: Message) -> str:
    """Platform of a model, by GetPlatform and CreateStoragePathRoutes of server_core.cc."""
    if model.model_type:
        if model.model_platform:
            raise invalid(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
            )
        if model.model_type != 1:  # ModelType.TENSORFLOW
            raise invalid(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
        return PLATFORM
    if not model.model_platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    if model.model_platform != PLATFORM:
        raise invalid(f"Model {model.name} requests unsupported platform {model.model_platform}")
    return PLATFORM


def _base(name: str, path: str) -> Path:
    if _SCHEME.match(path):
        raise invalid(f"Model {name} has the remote base path {path}; this server reads local folders")
    if not path.startswith("/"):
        raise invalid(f"Expected model {name} to have an absolute path or URI; got base_path()={path}")
    if "\0" in path or ".." in Path(path).parts:
        raise invalid(f"Expected model {name} to have a base path without '..'; got base_path()={path}")
    return Path(path)


def _policy(model: Message) -> VersionPolicy:
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return VersionPolicy(all=True)
    if kind == "specific":
        if not policy.specific.versions:
            raise Refused(Code.INVALID_ARGUMENT, f"Model {model.name} has the policy 'specific' without versions")
        return VersionPolicy(specific=tuple(sorted(set(policy.specific.versions))))
    return VersionPolicy(latest=max(policy.latest.num_versions, 1))
