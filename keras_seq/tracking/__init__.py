"""Runs on record: trackers, and what a store knows."""

from keras_seq.tracking.mlflow_store import Connection, connect, flatten, open_store, track
from keras_seq.tracking.tracker import Tracker

__all__ = ["Connection", "Tracker", "connect", "flatten", "open_store", "track"]
