"""XLA options that make compiled training faster on this processor; set before XLA starts.

On processors with AVX-512 XLA keeps to 256-bit vectors by itself; full width makes the elementwise part of
recurrent training (gates and their gradients) cheaper. XLA reads ``XLA_FLAGS`` once, when it first
compiles or looks for devices, so call :func:`prepare_environment` before that. Imports no TensorFlow.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["VECTOR_WIDTH", "has_avx512", "prepare_environment"]

VECTOR_WIDTH = "--xla_cpu_prefer_vector_width"


def has_avx512(cpuinfo: str | Path = "/proc/cpuinfo") -> bool:
    """Whether this processor has AVX-512; False where that cannot be told (no Linux ``cpuinfo``)."""
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as lines:
            return any("avx512f" in line.split() for line in lines if line.startswith("flags"))
    except OSError:
        return False


def prepare_environment(cpuinfo: str | Path = "/proc/cpuinfo") -> str:
    """Add our options to ``XLA_FLAGS`` and return it; what the user has set there stays and wins.

    Has no effect on a process where XLA has already started; calling it again changes nothing.

    Args:
        cpuinfo: where the processor's flags are read.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if VECTOR_WIDTH not in flags and has_avx512(cpuinfo):
        flags = f"{flags} {VECTOR_WIDTH}=512".strip()
        os.environ["XLA_FLAGS"] = flags
    return flags
