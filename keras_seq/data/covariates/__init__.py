"""Columns computed from a series itself or from its calendar, before it is split, without looking ahead."""
