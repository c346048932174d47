"""The costs of a candidate: minutes of training, latency, size, memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass

NOTHING = float("nan")


@dataclass(frozen=True)
class Costs:
    """Costs of one candidate; NaN where not measured.

    Attributes:
        training_minutes: of one run, mean over runs.
        latency_ms_batch1: median wall time of the served function for one sample, ms.
        latency_ms_batch64: the same for 64 samples.
        size_mb: ``model.keras``, 10^6 bytes.
        memory_mb: resident memory that loading the model and answering 64 samples adds to a fresh process
            with TensorFlow, 2^20 bytes.
        parameters: weights of the model.
    """

    training_minutes: float = NOTHING
    latency_ms_batch1: float = NOTHING
    latency_ms_batch64: float = NOTHING
    size_mb: float = NOTHING
    memory_mb: float = NOTHING
    parameters: float = NOTHING

    def to_dict(self) -> dict[str, float]:
        """Plain numbers by name."""
        return asdict(self)
