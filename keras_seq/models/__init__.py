"""Sequence models: one file per family, one registry, one assembler."""
