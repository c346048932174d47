"""Monitoring of a server: statistics, request log, drift, delayed labels. No TensorFlow.

::

    settings     what is watched and how closely
    distances    PSI, Kolmogorov-Smirnov, maximum mean discrepancy: a table
    calibrate    thresholds drawn from the reference in a version
    watch        one version: statistics, windows, checks
    adwin        change in a stream of errors
    request_log  answered calls as Parquet, bounded
    events       what happened, one JSON object a line, bounded
    labels       truth that comes later, joined by request id
    monitor      the observer a server calls; its queue and thread
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.monitor.monitor import DriftMonitor
    from serving.monitor.settings import MonitorSettings, load_settings

_PLACES = {"DriftMonitor": "monitor", "MonitorSettings": "settings", "load_settings": "settings"}
__all__ = ["DriftMonitor", "MonitorSettings", "load_settings"]


def __getattr__(name: str) -> Any:
    """Load a part when it is first named."""
    if name not in _PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
