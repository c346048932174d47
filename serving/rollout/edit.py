"""Edits of a rollout: the rollout file, a server's version policy, or the highest version of a base path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_seq import files
from keras_seq.errors import ConfigError
from serving.models.policy import find_versions
from serving.models.prototext import parse_text, read_text
from serving.monitor.settings import validate
from serving.rollout.plan import ModelPlan, RolloutPlan, load_plan


def change(path: str | Path, model: str, edit: Callable[[ModelPlan], Mapping[str, Any]]) -> ModelPlan:
    """Replace a model's entry in the rollout file, in one step for whoever reads it.

    Args:
        path: of the file; made if it is not there.
        model: name.
        edit: gives the fields to change.

    Raises:
        ConfigError: the file cannot be used, or the new entry is not allowed.
        OutputError: it cannot be written.
    """
    path = Path(path)
    with _alone(path):
        plan = load_plan(path) if path.exists() else RolloutPlan()
        old = plan.models.get(model, ModelPlan())
        tree = old.model_dump() | dict(edit(old))
        new: ModelPlan = validate(ModelPlan, tree)
        models = {name: entry.model_dump(exclude_defaults=True) for name, entry in plan.models.items()}
        models[model] = new.model_dump(exclude_defaults=True)
        _write(path, {"models": models})
    return new


def set_weights(path: str | Path, model: str, weights: Mapping[int, float]) -> ModelPlan:
    """Give a model other weights; those before are kept for the way back, also where the same ones are given again."""

    def edit(old: ModelPlan) -> dict[str, Any]:
        return {} if old.weights == dict(weights) else {"weights": dict(weights), "previous": dict(old.weights)}

    return change(path, model, edit)


def set_shadow(path: str | Path, model: str, shadow: Mapping[str, Any] | None) -> ModelPlan:
    """Give a model a shadow, or none."""
    return change(path, model, lambda old: {"shadow": dict(shadow) if shadow is not None else None})


def roll_back(path: str | Path, model: str, version: int | None = None) -> ModelPlan:
    """All callers to one version; without one, the weights before the last change. Copies to a shadow end.

    Raises:
        ConfigError: no version is given and there was no change.
    """

    def edit(old: ModelPlan) -> dict[str, Any]:
        weights = {version: 100.0} if version is not None else old.previous
        if weights is None:
            raise ConfigError(
                f"Model '{model}' has no weights before those of now in '{path}'; say which version answers: --to N."
            )
        return {"weights": weights, "previous": dict(old.weights), "shadow": None}

    return change(path, model, edit)


def set_policy(path: str | Path, model: str, version: int) -> None:
    """Let a ``--model_config_file`` serve one version of a model; its comments are lost.

    Raises:
        ConfigError: the file cannot be read, or does not name the model.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    path = Path(path)
    with _alone(path):
        try:
            message = parse_text(read_text(path, "--policy"), model_server_config_pb2.ModelServerConfig())
        except ValueError as error:
            raise ConfigError(f"The file '{path}' is no ModelServerConfig: {error}.") from None
        wanted = [config for config in message.model_config_list.config if config.name == model]
        if not wanted:
            names = ", ".join(config.name for config in message.model_config_list.config) or "none"
            raise ConfigError(f"The file '{path}' does not name model '{model}'; it names {names}.")
        wanted[0].model_version_policy.Clear()
        wanted[0].model_version_policy.specific.versions.append(version)
        files.write_text(path, text_format.MessageToString(message))


def push_again(base: str | Path, version: int | None = None) -> Path:
    """Put an earlier version on top of a base path, under the next number: the latest is what servers load.

    Args:
        base: model base path.
        version: to go back to; None: the one below the highest.

    Returns:
        The new version folder.

    Raises:
        ConfigError: there is no such version.
        ExportError: it was changed since it was exported.
    """
    from keras_seq.export.push import push

    base = Path(base)
    try:
        versions = find_versions(base)
    except OSError as error:
        raise ConfigError(f"The base path '{base}' cannot be listed ({error.strerror or error}).") from None
    numbers = sorted(versions)
    chosen = version if version is not None else numbers[-2] if len(numbers) > 1 else None
    if chosen not in versions:
        there = ", ".join(map(str, numbers)) or "none"
        raise ConfigError(f"Base path '{base}' has no version {chosen or 'before the highest'}; it has {there}.")
    return push(versions[chosen], base, force=True)  # it was served before, whatever the gate of its time said


def _write(path: Path, tree: dict[str, Any]) -> None:
    if path.suffix == ".json":
        files.write_json(path, tree)
        return
    import yaml

    files.write_text(path, yaml.safe_dump(tree, sort_keys=False))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One change at a time."""
    files.ensure_writable(path.parent, need_mb=0)
    with files.locked(path.with_name(f".{path.name}.lock")):
        yield
