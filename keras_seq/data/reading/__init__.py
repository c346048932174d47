"""Reading of CSV and Parquet tables: settled once, kept in the schema, used by every later reader."""

from keras_seq.data.reading.reading import Kind, Marks, Reading

__all__ = ["Kind", "Marks", "Reading"]
