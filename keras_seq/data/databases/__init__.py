"""Databases: rows of a table or query read into a Parquet file in the cache, answers written back by key."""
