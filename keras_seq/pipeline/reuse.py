"""Finished runs are taken again only where configuration and data are still those they were made of."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config, files
from keras_seq.errors import DataError, ModelError

if TYPE_CHECKING:
    from keras_seq.config import DataConfig
    from keras_seq.data.series import Series


class DataNow:
    """What the data of configurations are at this moment; every source is read once. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[str, Series] = {}

    def series(self, data: DataConfig) -> Series:
        """The series of a configuration.

        Raises:
            DataError: it cannot be read.
        """
        from keras_seq.data.prepare import NOT_OF_THE_SOURCE, read_series
        from keras_seq.data.sources.registry import is_streamed
        from keras_seq.data.store.cache import stored_series

        key = data.model_dump_json(exclude=NOT_OF_THE_SOURCE)
        with self._lock:
            if key not in self._series:
                self._series = {key: stored_series(data) if is_streamed(data) else read_series(data)}
            return self._series[key]

    def finished(self, folder: Path, experiment: config.Experiment) -> tuple[dict[str, Any] | None, str]:
        """Metrics of a finished run, if it is of this configuration and of the data as they are now.

        Args:
            folder: run folder.
            experiment: resolved.

        Returns:
            The metrics and "", or None and why a finished run cannot be taken ("" where there is none).
        """
        from keras_seq.bundle import load_bundle

        if not (folder / "bundle" / "manifest.json").is_file():
            return None, ""
        try:
            bundle = load_bundle(folder)
        except ModelError as error:
            return None, str(error)
        if bundle.experiment != experiment:
            return None, "its configuration was another"
        changed = self.changed(bundle.data, bundle.schema.model_dump_json(), experiment.data)
        return (None, changed) if changed else (dict(bundle.metrics), "")

    def changed(self, about: dict[str, Any], schema: str, data: DataConfig) -> str:
        """What of the data differs from what a bundle was made of, in words; empty: nothing.

        Args:
            about: data.json of the bundle.
            schema: of the bundle, as JSON.
            data: the data section.
        """
        from keras_seq.data.splits import split

        series = self.series(data)
        if content_of(series, about) != recorded(about):
            return "the data have changed since"
        if schema != series.schema.model_dump_json():
            return "the data are read otherwise now (schema)"
        return "" if split(series, data).fingerprint == about.get("split") else "the split is another now"


def content_of(series: Series, about: dict[str, Any]) -> str:
    """The digest of a series that a bundle's data.json has one of: of all content, in older bundles of values alone."""
    return series.content() if "content" in about else series.fingerprint()


def recorded(about: dict[str, Any]) -> str:
    """The digest of the data in a bundle's data.json."""
    return str(about.get("content", about.get("fingerprint", "missing")))


def refuse_mixed(folders: Iterable[str | Path], command: str) -> None:
    """Refuse a set of runs some of which were made of older data.

    Args:
        folders: run folders.
        command: that trained them, for the message.

    Raises:
        DataError: runs of one source hold different data; names two of them.
    """
    from keras_seq.data.prepare import NOT_OF_THE_SOURCE

    seen: dict[str, tuple[str, str]] = {}
    for folder in map(Path, folders):
        data = config.load(folder / "bundle" / "config.yaml").data
        key = data.model_dump_json(exclude=NOT_OF_THE_SOURCE)
        digest = recorded(files.read_json(folder / "bundle" / "data.json"))
        other, known = seen.setdefault(key, (str(folder), digest))
        if known != digest:
            raise DataError(
                f"The data changed while '{command}' ran: runs '{other}' and '{folder}' were made of different "
                "content, so their figures cannot stand together. Run the same command again: it trains anew what was "
                "made of older data."
            )
