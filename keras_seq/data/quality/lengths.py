"""Lengths of the units against the windows."""

from __future__ import annotations

import numpy as np

from keras_seq.config import WindowsConfig
from keras_seq.data.quality.report import Finding, Severity
from keras_seq.data.series import Series


def check_lengths(series: Series, windows: WindowsConfig | None) -> list[Finding]:
    """Units too short for a window, or longer than one that takes whole units."""
    if windows is None:
        return []
    need = windows.length + windows.horizon
    lengths = series.lengths
    findings = []
    if windows.mode != "whole":
        short = np.flatnonzero(lengths < need)
        if len(short):
            unit = short[np.argmin(lengths[short])]
            text = f"has {lengths[unit]} rows, a window needs {need} (data.windows.length + horizon)"
            # A forecast never pads its future: such a unit gives nothing.
            fatal = not windows.pad_short or lengths[unit] <= windows.horizon
            text += "; shorten data.windows.length or remove it" if fatal else "; it will be padded"
            severity: Severity = "error" if fatal else "warning"
            findings.append(Finding(severity, "length", text, unit=str(series.unit_ids[unit]), count=len(short)))
    else:
        long = np.flatnonzero(lengths > windows.length)
        if len(long):
            unit = long[np.argmax(lengths[long])]
            text = f"has {lengths[unit]} rows; only its last {windows.length} are kept (data.windows.length)"
            findings.append(Finding("warning", "length", text, unit=str(series.unit_ids[unit]), count=len(long)))
    return findings
