"""Weighted choice of the version for calls that name none; a ``Router`` (``serving.observers``)."""

from __future__ import annotations

import functools
from pathlib import Path

from serving.contract.status import Refused
from serving.models.servable import Models
from serving.rollout.plan import POLL, ModelPlan, PlanFile

KEYS = 65_536  # callers whose version is remembered rather than hashed again


class PlanRouter:
    """Router by the weights of a rollout file, which it follows.

    Args:
        path: of the file.
        models: of the server, so that a version that is not loaded gets no calls; None: it is not asked.
        poll: seconds between two looks at file and versions.
    """

    def __init__(self, path: str | Path, models: Models | None = None, *, poll: float = POLL) -> None:
        self._models = models
        self._available: dict[str, frozenset[int]] = {}
        self._plans: dict[str, ModelPlan] = {}
        self._watched = PlanFile(path, self._take, poll=poll)
        self._of = functools.lru_cache(KEYS)(self._hashed)
        self._watched.start()

    @property
    def problem(self) -> str:
        """Why the file cannot be used; empty if it can."""
        return self._watched.problem

    def choose(self, model: str, key: str) -> int | None:
        """The caller's version; None where there is no plan or its version is not loaded: the latest answers."""
        if model not in self._plans:
            return None
        version = self._of(model, key)
        if version is None or self._models is None or version in self._available.get(model, ()):
            return version
        return None

    def shares(self, model: str) -> dict[int, float]:
        """Shares of the callers as ``choose`` deals them; the rest, of versions not loaded, goes to the latest."""
        plan = self._plans.get(model)
        if plan is None:
            return {}
        total = sum(plan.weights.values())
        loaded = plan.weights if self._models is None else self._available.get(model, frozenset())
        return {version: weight / total for version, weight in plan.weights.items() if weight and version in loaded}

    def close(self) -> None:
        """Stop following."""
        self._watched.close()

    def _hashed(self, model: str, key: str) -> int | None:
        plan = self._plans.get(model)
        return plan.choose(key) if plan is not None else None

    def _take(self) -> None:
        plans = {name: plan for name, plan in self._watched.plan.models.items() if plan.weights}
        if self._models is not None:
            self._available = {name: self._loaded(name) for name in plans}
        if plans != self._plans:
            self._plans = plans
            self._of = functools.lru_cache(KEYS)(self._hashed)

    def _loaded(self, name: str) -> frozenset[int]:
        assert self._models is not None
        try:
            return frozenset(state.version for state in self._models.states(name) if state.state == "AVAILABLE")
        except Refused:
            return frozenset()
