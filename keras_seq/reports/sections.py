"""Order of the sections of a report."""

from __future__ import annotations

from keras_seq.reports import (
    sections_data,
    sections_metrics,
    sections_proof,
    sections_run,
    sections_served,
    sections_tuning,
)
from keras_seq.reports.html import PageSection
from keras_seq.reports.sources import Sources

SECTIONS = (
    sections_run.summary,
    sections_data.data,
    sections_run.training,
    sections_metrics.metrics,
    sections_metrics.decision,
    sections_run.answers,
    sections_proof.comparison,
    sections_tuning.tuning,
    sections_proof.bands,
    sections_proof.explanations,
    sections_served.benchmark,
    sections_served.gate,
    sections_served.monitoring,
    sections_run.settings,
)


def build(sources: Sources) -> list[PageSection]:
    """All sections in their order; those without material have no body."""
    return [make(sources) for make in SECTIONS]
