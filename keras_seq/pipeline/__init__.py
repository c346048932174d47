"""Pipelines over all packages: what the commands and the Python API run, one file each."""
