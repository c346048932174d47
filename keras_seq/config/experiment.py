"""The root of the tree, and its ways from and to YAML and dotted options."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import Field, ValidationError

from keras_seq.config import yaml_text
from keras_seq.config.base import ConfigSection
from keras_seq.config.data import DataConfig
from keras_seq.config.evaluation import EvaluationConfig, ExportConfig, TrackingConfig
from keras_seq.config.model import ModelConfig
from keras_seq.config.training import TrainingConfig
from keras_seq.errors import ConfigError, nearest, shorten

S = TypeVar("S", bound=ConfigSection)
MOST = 10  # errors told at once


class Experiment(ConfigSection):
    """Everything that defines a run."""

    name: str = Field(
        "caster", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="of runs, records and served model"
    )
    seed: int = Field(0, ge=0, description="of weights, shuffling and dropout")
    output: str = Field("runs", description="folder of runs; a bundle lands in <output>/<name>")
    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)


def from_dict(tree: dict[str, Any]) -> Experiment:
    """Validate a tree of plain values.

    Raises:
        ConfigError: names the key by its dotted path, the value received and the nearest known key.
    """
    return validate(Experiment, tree)


def validate(kind: type[S], tree: Mapping[str, Any], *, prefix: str = "", noun: str = "option") -> S:
    """A section of plain values, checked.

    Args:
        kind: of the section.
        tree: its values.
        prefix: of its keys in messages, such as ``tuning.``.
        noun: what messages call a key.

    Raises:
        ConfigError: names each key by its dotted path, the value received and the nearest known key.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_paragraph(error, kind, prefix, noun)) from None


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Experiment:
    """Read an experiment from YAML and set dotted ``overrides`` (``{"model.units": "128"}``)."""
    tree = read(path)
    tree.pop("tuning", None)  # a study's section, read by ``python -m tuning``
    return from_dict(override(tree, overrides or {}))


def read(path: str | Path) -> dict[str, Any]:
    """The plain tree of a YAML file, a study's section included; nothing in it is checked yet.

    Raises:
        ConfigError: it cannot be read or is no mapping.
    """
    path = Path(path)
    try:
        tree = yaml_text.read_file(path) or {}
    except FileNotFoundError:
        raise ConfigError(f"Config file '{path}' does not exist; see configs/ for the ones shipped.") from None
    except OSError as error:
        raise ConfigError(f"Config file '{path}' cannot be read: {error.strerror or error}.") from None
    except yaml_text.NotYaml as error:
        raise ConfigError(f"Config file '{path}' is not valid YAML: {error}.") from None
    if not isinstance(tree, dict):
        kind = type(yaml_text.meaning(tree)).__name__
        raise ConfigError(f"Config file '{path}' must hold a mapping of sections, got {kind}.")
    return tree


def override(
    tree: Mapping[str, Any], overrides: Mapping[str, Any], kind: type[ConfigSection] = Experiment
) -> dict[str, Any]:
    """A copy of ``tree`` with dotted keys set.

    Args:
        tree: plain values, or what ``read`` gave.
        overrides: values by dotted key; what a text stands for is told by its field: text fields take it as it is (but
            ``"null"`` is none where there may be none), others read it as YAML (``"[32, 16]"``, ``"off"``).
        kind: the section whose fields the keys are.

    Raises:
        ConfigError: a key goes below a value.
    """
    kinds = {name: info.annotation for name, info in fields(kind).items()}
    result = _copy(tree)
    for dotted, value in overrides.items():
        word = isinstance(value, str)
        _put(result, dotted, yaml_text.settle_word(value, kinds.get(dotted, Any)) if word else value)
    return result


def to_dict(experiment: Experiment) -> dict[str, Any]:
    """Plain values of the whole tree, defaults included."""
    return experiment.model_dump(mode="json")


def to_yaml(experiment: Experiment) -> str:
    """YAML text that ``load`` reads back to an equal experiment."""
    return yaml.safe_dump(to_dict(experiment), sort_keys=False)


def replace(experiment: Experiment, **dotted: object) -> Experiment:
    """A changed copy: ``replace(e, model__units=128)`` or ``replace(e, **{"model.units": 128})``; texts as they are."""
    changes = {key.replace("__", "."): value for key, value in dotted.items()}
    tree = experiment.model_dump(mode="json", exclude_unset=True)  # what was left open stays open to a variant
    kinds = {name: info.annotation for name, info in fields().items()}
    texts = {key for key, value in changes.items() if isinstance(value, str) and yaml_text.takes_text(kinds.get(key))}
    result = override(tree, {key: value for key, value in changes.items() if key not in texts})
    for key in texts:
        _put(result, key, changes[key])
    return from_dict(result)


def fields(section: type[ConfigSection] = Experiment, prefix: str = "") -> dict[str, Any]:
    """Every leaf of the tree as ``{"model.units": FieldInfo}``, in the order of declaration."""
    leaves: dict[str, Any] = {}
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, ConfigSection):
            leaves.update(fields(kind, f"{prefix}{name}."))
        else:
            leaves[prefix + name] = info
    return leaves


def _put(tree: dict[str, Any], dotted: str, value: object) -> None:
    *parents, leaf = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"Option '{dotted}' goes below '{parent}', which is a value, not a section.")
    tree[leaf] = value


def _copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in tree.items()}


def _one_paragraph(error: ValidationError, kind: type[ConfigSection], prefix: str, noun: str) -> str:
    parts, errors = [], error.errors()
    for item in errors[:MOST]:
        path = prefix + ".".join(str(key) for key in item["loc"])
        if item["type"] == "extra_forbidden":
            *parents, leaf = [str(key) for key in item["loc"]]
            parts.append(f"Unknown {noun} '{path}'{_hint(leaf, '.'.join(parents), kind)}")
        else:
            message = item["msg"].removeprefix("Value error, ")
            got = f" Got {shorten(item['input'])}." if not isinstance(item["input"], dict) else ""
            name = path.removesuffix(".")
            parts.append(f"{noun.capitalize()} '{name}': {message}.{got}" if name else f"{message}.{got}")
    if len(errors) > MOST:
        parts.append(f"And {len(errors) - MOST} more.")
    return " ".join(parts)


def _hint(leaf: str, section: str, kind: type[ConfigSection]) -> str:
    leaves = fields(kind)
    prefix = f"{section}." if section else ""
    siblings = {key.removeprefix(prefix).split(".")[0] for key in leaves if key.startswith(prefix)}
    elsewhere = [key for key in leaves if key.rsplit(".", 1)[-1] == leaf]
    if elsewhere and not difflib.get_close_matches(leaf, siblings, n=1, cutoff=0.75):
        return f"; did you mean '{elsewhere[0]}'?"
    return nearest(leaf, siblings) if siblings else "."
