"""Columns of a table that are known ahead: their later values become channels of the rows that a forecast looks at."""
