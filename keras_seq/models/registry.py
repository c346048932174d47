"""The families of models by name; no TensorFlow.

A new model is one file in ``keras_seq.models`` with one decorated function::

    @register("gru", variants={"deep": {"layers": 4}}, space={"model.units": [32, 64, 128]})
    def gru(x, lengths, config, steps):
        ...
        return Encoded(x, lengths)

The function is the model's *body*: scaled channels ``(batch, time, channels)`` in, encoded steps
``(batch, time', width)`` out. Scaling, history channels, pooling, heads and the way back to raw
units are the assembler's (``keras_seq.models.assembly``).

Families that only forecast answer for the steps ahead themselves, without pooling and head::

    @register("nlinear", forecasts=True)
    def nlinear(x, lengths, config, horizon):
        ...
        return Ahead(y, base)

Families that are *fitted* rather than trained by gradients (trees, ridge, state-space models) register a
function that returns the finished model, in a file of ``keras_seq.baselines``::

    @register("ridge", fitted=True)
    def ridge(experiment, prepared, say):
        ...
        return model  # keras.Model of the same inputs and outputs as every other family's
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from keras_seq.config import Experiment, ModelConfig
from keras_seq.errors import ConfigError, nearest
from keras_seq.models.body import Check, Family, Space, Variants

REGISTRATION = re.compile(r'^@register\("(\w+)"(, forecasts=True)?', re.MULTILINE)
FIRST = (  # in this order; other families follow by file
    *("lstm", "gru", "bilstm", "cnn_lstm", "attention_lstm", "transformer", "tcn"),
    *("resnet", "inception_time", "nlinear", "dlinear", "nhits", "tsmixer", "patchtst", "itransformer"),
    *("random_forest", "extra_trees", "last_row_forest", "hist_gradient_boosting", "lightgbm"),
    *("minirocket", "ridge", "mean", "naive", "seasonal_naive", "sarimax", "hybrid"),
)
_FAMILIES: dict[str, Family] = {}
Function = TypeVar("Function", bound=Callable[..., Any])


def register(
    name: str,
    *,
    variants: Variants | None = None,
    space: Space | None = None,
    check: Check | None = None,
    forecasts: bool = False,
    fitted: bool = False,
) -> Callable[[Function], Function]:
    """Register a function as family ``name``: its body, with ``forecasts`` its steps ahead, with ``fitted`` its fit.

    Args:
        name: as in ``model.family``; a literal, since files are searched for it.
        variants: fields of ``ModelConfig`` by variant; ``standard`` holds where none is named.
        space: default search space of the family's own options, as ``tuning.space`` takes it.
        check: called with the resolved configuration before anything is built; raises
            ``ConfigError`` for combinations the family cannot serve.
        forecasts: the function answers for the steps ahead; other tasks are refused. Stands right behind the name,
            since files are searched for it.
        fitted: the function gets the experiment, the prepared data and a callback for messages, and returns a
            model that keeps the contract of every other: raw units in, an output named by the task, padding
            without effect.

    Raises:
        ConfigError: a variant sets what is no field of ``ModelConfig``.
    """
    known = set(ModelConfig.model_fields)
    for variant, changes in (variants or {}).items():
        if unknown := sorted(set(changes) - known):
            raise ConfigError(
                f"Variant '{variant}' of family '{name}' sets '{unknown[0]}', which is no field of the model "
                f"section{nearest(unknown[0], known)}"
            )

    def decorate(function: Function) -> Function:
        role = {"fit" if fitted else "forecast" if forecasts else "body": function}
        _FAMILIES[name] = Family(name, {"standard": {}, **(variants or {})}, space or {}, check, **role)
        return function

    return decorate


@cache
def _registrations() -> dict[str, tuple[str, bool]]:
    """Module by family, and whether it only forecasts, read off the sources: importing them would load Keras."""
    root = Path(__file__).parents[1]
    return {
        name: (f"keras_seq.{folder}.{path.stem}", bool(forecasts))
        for folder in ("models", "baselines")
        for path in sorted((root / folder).glob("*.py"))
        for name, forecasts in REGISTRATION.findall(path.read_text(encoding="utf-8"))
    }


@cache
def _shipped() -> dict[str, str]:
    """Module by family, in the order in which they are listed."""
    registrations = _registrations()
    return {name: registrations[name][0] for name in dict.fromkeys((*FIRST, *registrations))}


def families() -> dict[str, Family]:
    """All registered families of networks by name; loads them (and with them Keras)."""
    return {name: get_family(name) for name in networks()}


def networks() -> tuple[str, ...]:
    """Names of the families trained by gradients, without loading any."""
    shipped = (name for name, module in _shipped().items() if module.startswith("keras_seq.models."))
    return tuple(dict.fromkeys((*shipped, *(name for name, family in _FAMILIES.items() if not family.fit))))


def forecasters() -> frozenset[str]:
    """Names of the shipped networks that do nothing but forecast, without loading any."""
    return frozenset(name for name, (_, forecasts) in _registrations().items() if forecasts)


def names() -> tuple[str, ...]:
    """Names of all families, without loading any."""
    return tuple(dict.fromkeys((*_shipped(), *_FAMILIES)))


def get_family(name: str) -> Family:
    """The family called ``name``.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if name not in _FAMILIES:
        if name not in _shipped():
            raise ConfigError(f"Option 'model.family': there is no family '{name}'{nearest(name, names())}")
        import_module(_shipped()[name])
    return _FAMILIES[name]


def resolve(config: ModelConfig) -> ModelConfig:
    """Apply the variant's sizes: fields that were set explicitly win over the variant's.

    The result has every field explicit, so resolving it again (from a bundle) changes nothing.

    Raises:
        ConfigError: unknown family, or a variant the family does not have.
    """
    variants = get_family(config.family).variants
    variant = config.variant or "standard"
    if variant not in variants:
        raise ConfigError(
            f"Option 'model.variant': family '{config.family}' has no variant '{variant}'{nearest(variant, variants)}"
        )
    changes = {key: value for key, value in variants[variant].items() if key not in config.model_fields_set}
    return ModelConfig.model_validate({**config.model_dump(), **changes})


def resolve_experiment(experiment: Experiment) -> Experiment:
    """The experiment with its model section resolved: what is built, and what a bundle keeps."""
    return experiment.model_copy(update={"model": resolve(experiment.model)})
