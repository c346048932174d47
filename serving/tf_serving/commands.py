"""Command lines of ``tensorflow_model_server`` and of its container, with the flags as they were given."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from keras_seq.errors import ConfigError
from serving.models.config import ServerConfig, folder_config, one_model, read_config
from serving.settings import Settings
from serving.tf_serving import images
from serving.tf_serving.texts import models_config

BINARY = "tensorflow_model_server"
COMMON = ("models", "backend", "host", "insecure")  # of our flags: what launching itself takes care of
PATHS = ("batching_parameters_file", "monitoring_config_file", "ssl_config_file")


@dataclass(frozen=True)
class LaunchPlan:
    """Flags and models of a server to start.

    Attributes:
        flags: of the server.
        config: its models.
        reads: files and folders that it reads.
    """

    flags: tuple[str, ...]
    config: ServerConfig
    reads: tuple[Path, ...]


def plan(settings: Settings, scratch: Path) -> LaunchPlan:
    """Flags of the real server for these settings.

    Args:
        settings: of the command line.
        scratch: folder for a ``models.config``, where only a folder of models is named.

    Raises:
        ConfigError: a flag that the real server does not have; no model; a file that is not there.
    """
    _refuse_foreign(settings)
    config, extra = _models(settings, scratch)
    if not config.models:
        raise ConfigError("There is no model to serve; name one with --model_base_path or --model_config_file.")
    flags_given = {flag.partition("=")[0] for flag in settings.given}
    flags = [_absolute(flag) for flag in settings.given] + extra
    flags += [
        f"--{name}={getattr(settings, name)}" for name in ("port", "rest_api_port") if f"--{name}" not in flags_given
    ]
    files = [
        Path(getattr(settings, name)).absolute() for name in (*PATHS, "model_config_file") if getattr(settings, name)
    ]
    for path in files:
        if not path.is_file():
            raise ConfigError(f"The file '{path}' does not exist.")
    files += [Path(flag.partition("=")[2]) for flag in extra if flag.startswith("--model_config_file=")]
    return LaunchPlan(tuple(flags), config, (*files, *(model.base_path for model in config.models)))


def binary(launch: LaunchPlan) -> list[str]:
    """The command that runs the installed server."""
    return [BINARY, *launch.flags]


def docker(launch: LaunchPlan, settings: Settings, name: str) -> list[str]:
    """The command that runs it in a container: same flags, same paths, all of them read-only.

    Args:
        launch: flags and what they read.
        settings: with host and ports.
        name: of the container.
    """
    ports = [port for port in (settings.port, settings.rest_api_port) if port]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    command = ["docker", "run", "--rm", "--name", name, "--user", f"{os.getuid()}:{os.getgid()}"]
    command += ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    for port in ports:
        command += ["--publish", f"{host}:{port}:{port}"]
    for path in dict.fromkeys(launch.reads):
        command += ["--mount", f"type=bind,source={path},target={path},readonly"]
    return [*command, "--entrypoint", BINARY, images.serving_image(), *launch.flags]


def _refuse_foreign(settings: Settings) -> None:
    for each in fields(settings):
        ours = each.metadata.get("ours") and each.name not in COMMON
        if ours and getattr(settings, each.name) != each.default:
            raise ConfigError(
                f"--{each.name} is a flag of the embedded server, which {BINARY} does not have; leave it out, or give "
                "--backend=embedded."
            )


def _models(settings: Settings, scratch: Path) -> tuple[ServerConfig, list[str]]:
    """The models, and the flags that name them where none was given."""
    if settings.model_config_file:
        return read_config(settings.model_config_file), []
    if settings.model_base_path:
        return one_model(settings.model_name, settings.model_base_path), []
    folder = Path(settings.models or "saved_models")
    try:
        config = folder_config(folder)
    except OSError as error:
        raise ConfigError(f"The folder '{folder}' of --models cannot be read: {error.strerror}.") from None
    path = scratch / "models.config"
    path.write_text(models_config({model.name: str(model.base_path) for model in config.models}), encoding="utf-8")
    return config, [f"--model_config_file={path}"]


def _absolute(flag: str) -> str:
    """A flag with its path made absolute: a container has another working folder."""
    name, _, value = flag.partition("=")
    local = name.lstrip("-") in (*PATHS, "model_config_file", "model_base_path") and value and "://" not in value
    return f"{name}={Path(value).absolute()}" if local else flag
