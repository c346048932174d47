"""Fitting a model: losses, callbacks, metrics, thresholds."""
