"""Formats of table files besides CSV and Parquet: each is one file that turns its kind into record batches."""

from keras_seq.data.formats.registry import TableFormat, known_formats, register

__all__ = ["TableFormat", "known_formats", "register"]
