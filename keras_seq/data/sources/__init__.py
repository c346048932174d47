"""Sources of series: one file each, which registers itself (``registry``)."""

from keras_seq.data.sources.registry import SourceInfo, known_sources, load_series

__all__ = ["SourceInfo", "known_sources", "load_series"]
