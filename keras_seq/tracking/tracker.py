"""The tracker: what a run hands over to be recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class Tracker:
    """Records nothing; the base of trackers and what ``tracking.backend=none`` uses."""

    run_id: str | None = None

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record the configuration, dotted names."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, at an epoch if ``step`` is given."""

    def log_folder(self, folder: Path, name: str) -> None:
        """Record a folder of files."""

    def log_files(self, paths: Iterable[Path], name: str) -> None:
        """Record files under a folder ``name``."""

    def log_table(self, columns: Mapping[str, Any], name: str) -> None:
        """Record a table, ``{column: values}``, as ``name`` (``.json``)."""

    def register(self, name: str, folder: Path, *, alias: str, tags: Mapping[str, str]) -> None:
        """Enter a version's folder in the model registry under ``name``; ``alias`` names it from now on."""

    def log_model(self, model: Any, inputs: Mapping[str, Any], outputs: Any) -> None:
        """Record the model with its signature."""
