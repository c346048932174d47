"""Settings of the monitor: a small YAML or JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, field_validator

from keras_seq import config
from keras_seq.config import yaml_text
from keras_seq.config.base import ConfigSection, Count, Positive
from keras_seq.errors import ConfigError

S = TypeVar("S", bound=ConfigSection)
MAX_BYTES = 2**20  # of a settings file


class MonitorSettings(ConfigSection):
    """Settings of a monitor."""

    folder: str = Field("monitor", description="takes request log, events, thresholds and status")
    models: tuple[str, ...] = Field((), description="names of the models to watch; none: all")
    sample: float = Field(1.0, ge=0.0, le=1.0, description="share of the calls that are watched")
    queue_calls: Count = Field(4096, description="calls that may wait for the monitor; more are dropped and counted")
    queue_mb: Positive = Field(64.0, description="their size; more are dropped and counted")
    cpu_share: float = Field(0.25, gt=0.0, le=1.0, description="of one core, at most so much for the monitor's thread")
    every: Count = Field(50, description="rows of a version between two checks for drift")
    windows: tuple[Count, ...] = Field((100, 2000), description="newest rows that are compared with the reference")
    window_rows: int = Field(200, ge=20, le=2000, description="of longer windows, so many rows are kept, evenly")
    confirm: Count = Field(2, description="checks one after another that must agree before an alarm starts or ends")
    false_alarms: float = Field(0.004, gt=0.0, lt=0.5, description="chance that a check without drift exceeds")
    versions: Count = Field(16, description="versions watched at a time; the one idle longest is forgotten")
    log: bool = Field(True, description="keep answered calls in the request log")
    log_sample: float = Field(1.0, ge=0.0, le=1.0, description="share of the watched calls that are kept")
    log_mb: Positive = Field(1024.0, description="size of the log; the oldest files go first")
    log_file_mb: Positive = Field(16.0, description="size at which a file of the log is written")
    log_seconds: Positive = Field(30.0, description="longest time until calls are in a file")
    events_mb: Positive = Field(16.0, description="size of the events file; one older file is kept beside it")

    @field_validator("windows")
    @classmethod
    def _long_enough(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        if not windows or min(windows) < 20 or len(set(windows)) != len(windows) or len(windows) > 4:
            raise ValueError("windows must be one to four different numbers of at least 20")
        return tuple(sorted(windows))


def load_settings(path: str | Path) -> MonitorSettings:
    """Read a settings file, YAML or JSON.

    Raises:
        ConfigError: it cannot be read; an unknown or wrong setting, with the nearest known one.
    """
    return settings_of(read_tree(path, "monitor settings"))


def settings_of(tree: Mapping[str, Any]) -> MonitorSettings:
    """Validate settings.

    Raises:
        ConfigError: names the setting, its value and what is expected.
    """
    return validate(MonitorSettings, tree)


def validate(section: type[S], tree: Mapping[str, Any]) -> S:
    """A section from a mapping; errors as one paragraph.

    Raises:
        ConfigError: names the key, the value and the nearest known key.
    """
    return config.validate(section, tree, noun="setting")


def read_tree(path: str | Path, what: str) -> dict[str, Any]:
    """A YAML or JSON file that holds a mapping.

    Raises:
        ConfigError: it is not there, too large, no YAML, or holds something else.
    """
    path = Path(path)
    try:
        tree = yaml_text.read_file(path, MAX_BYTES) or {}
    except OSError as error:
        raise ConfigError(f"The file '{path}' of {what} cannot be read ({error.strerror or error}).") from None
    except yaml_text.NotYaml as error:
        raise ConfigError(f"The file '{path}' of {what} is no YAML or JSON: {error}.") from None
    if not isinstance(tree, dict):
        kind = type(yaml_text.meaning(tree)).__name__
        raise ConfigError(f"The file '{path}' of {what} must hold names and values, got a {kind}.")
    return tree
