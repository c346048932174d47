"""The rollout file, YAML or JSON, which is read again whenever it changes.

::

    models:
      caster:
        weights: {3: 90, 4: 10}           # shares of the callers that name no version
        salt: ""                          # another text deals the callers anew
        shadow: {version: 4, share: 0.5}  # a copy of half the calls; also {model: other, version: 2}

A caller keeps its version as long as weights and salt stay. With other weights as few callers as possible move.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from keras_seq.config.base import ConfigSection
from keras_seq.errors import ConfigError
from serving.monitor.settings import read_tree, validate

log = logging.getLogger(__name__)
Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Version = Annotated[int, Field(ge=0)]
POLL = 0.5  # seconds between two looks at the file


class ShadowPlan(ConfigSection):
    """Copies of a model's calls to another version or model.

    Attributes:
        model: that gets the copies; None: the same.
        version: of it; None: its latest.
        share: of the calls.
    """

    model: str | None = None
    version: Version | None = None
    share: float = Field(1.0, gt=0.0, le=1.0)


class ModelPlan(ConfigSection):
    """Rollout of one model: weights and shadow.

    Attributes:
        weights: by version; empty: the latest answers.
        salt: joined with the caller's key.
        shadow: copies of its calls.
        previous: weights before the last change, for the way back.
    """

    weights: dict[Version, Weight] = Field(default_factory=dict)
    salt: str = ""
    shadow: ShadowPlan | None = None
    previous: dict[Version, Weight] | None = None

    @field_validator("weights")
    @classmethod
    def _not_all_zero(cls, weights: dict[int, float]) -> dict[int, float]:
        if weights and not sum(weights.values()) > 0:
            raise ValueError("at least one weight must be above 0")
        return weights

    def choose(self, key: str) -> int | None:
        """The version of a caller; None without weights."""
        if not self.weights:
            return None
        versions = sorted(self.weights)
        edges = list(accumulate(self.weights[version] for version in versions))
        point = int.from_bytes(hashlib.blake2b(f"{self.salt}\0{key}".encode(), digest_size=8).digest()) / 2**64
        place = point * edges[-1]
        return next((version for version, edge in zip(versions, edges, strict=True) if place < edge), versions[-1])


class RolloutPlan(ConfigSection):
    """Rollout file: a plan by model."""

    models: dict[str, ModelPlan] = Field(default_factory=dict)


def load_plan(path: str | Path) -> RolloutPlan:
    """Read the file.

    Raises:
        ConfigError: it cannot be read or holds what it must not; says what and where.
    """
    plan: RolloutPlan = validate(RolloutPlan, read_tree(path, "rollout"))
    return plan


class PlanFile:
    """A plan that follows its file. A file that cannot be used, or is gone, leaves the plan as it was; logged once.

    Args:
        path: of the file; it may come later.
        changed: told of every new plan, in the watching thread; also called at every look, for its own upkeep.
        poll: seconds between two looks.
    """

    def __init__(self, path: str | Path, changed: Callable[[], None] = lambda: None, *, poll: float = POLL) -> None:
        self.path, self.plan = Path(path), RolloutPlan()
        self.problem = ""
        self._changed, self._poll, self._seen = changed, poll, (0, 0, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keras-seq-rollout", daemon=True)

    def start(self) -> None:
        """Read the file once, then watch it."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def look(self) -> None:
        """Read the file if it changed."""
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            seen = (0, 0, 0)
        if seen != self._seen:
            self._seen = seen
            self._read(gone=seen == (0, 0, 0))
        self._changed()

    def _read(self, *, gone: bool) -> None:
        try:
            if gone:
                raise ConfigError(f"The rollout file '{self.path}' is gone.")
            self.plan, self.problem = load_plan(self.path), ""
            log.info("rollout of '%s' is in force", self.path)
        except ConfigError as error:
            self.problem = str(error)
            log.error("%s The plan before stays in force.", error)

    def _run(self) -> None:
        while not self._stop.wait(self._poll):
            try:
                self.look()
            except Exception:  # of a server that goes down, or a bug: traffic goes on by the last plan
                log.exception("looking at the rollout failed")
