"""Lengths of the units against the windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import WindowsConfig
from keras_seq.data.quality.report import Finding, Severity, listed
from keras_seq.data.series import Series


def check_lengths(series: Series, windows: WindowsConfig | None) -> list[Finding]:
    """Units too short for a window, or longer than one that takes whole units."""
    if windows is None:
        return []
    lengths = series.lengths
    left_out = lengths <= windows.horizon  # a forecast never pads its future: such a unit gives nothing
    findings = _left_out(series, windows.horizon, left_out) if windows.horizon and left_out.any() else []
    if windows.mode != "whole":
        need = windows.length + windows.horizon
        short = np.flatnonzero((lengths < need) & ~left_out)
        if len(short):
            unit = short[np.argmin(lengths[short])]
            text = f"has {lengths[unit]} rows, a window needs {need} (data.windows.length + horizon)"
            text += "; it will be padded" if windows.pad_short else "; shorten data.windows.length or remove it"
            severity: Severity = "warning" if windows.pad_short else "error"
            findings.append(Finding(severity, "length", text, unit=str(series.unit_ids[unit]), count=len(short)))
    else:
        long = np.flatnonzero(lengths > windows.length)
        if len(long):
            unit = long[np.argmax(lengths[long])]
            text = f"has {lengths[unit]} rows; only its last {windows.length} are kept (data.windows.length)"
            findings.append(Finding("warning", "length", text, unit=str(series.unit_ids[unit]), count=len(long)))
    return findings


def _left_out(series: Series, horizon: int, short: NDArray[np.bool_]) -> list[Finding]:
    """Units without a row before a whole horizon: left out; an error where all of them are."""
    unit = int(np.argmax(short))
    text = f"has {series.lengths[unit]} rows, too few for data.windows.horizon={horizon} with a row before it"
    severity: Severity = "error" if short.all() else "warning"
    text += "; lower the horizon" if short.all() else f"; left out: {listed(series.unit_ids[short])}"
    return [Finding(severity, "length", text, unit=str(series.unit_ids[unit]), count=int(short.sum()))]
