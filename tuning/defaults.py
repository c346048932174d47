"""Default space of a family: its own options, as registered with it, and how its training is set."""

from __future__ import annotations

from typing import Any

from keras_seq import config
from keras_seq.errors import ConfigError
from keras_seq.models.registry import get_family, names

Space = dict[str, Any]


def default_space(experiment: config.Experiment) -> Space:
    """The space of the experiment's family.

    Raises:
        ConfigError: the family has no default space.
    """
    family = get_family(experiment.model.family)
    if not family.space:
        known = ", ".join(name for name in names() if get_family(name).space)
        raise ConfigError(
            f"Family '{family.name}' has no default search space (there are: {known}); give one in 'tuning.space'."
        )
    return {**family.space, **(_training(experiment) if not family.fit else {})}


def _training(experiment: config.Experiment) -> Space:
    size = experiment.training.batch_size
    space: Space = {
        "training.learning_rate": {"low": 5e-4, "high": 1e-2, "log": True},
        "training.batch_size": sorted({max(size // 2, 4), size, size * 2}),
        "training.weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
        "model.dropout": {"low": 0.0, "high": 0.5},
    }
    if experiment.model.input_noise:
        space["model.input_noise"] = {"low": 0.01, "high": 0.5, "log": True}
    return space
