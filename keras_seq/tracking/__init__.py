"""Runs on record: trackers, and what a store knows."""

from keras_seq.tracking.mlflow_store import StoreConnection, connect, flatten, open_store, track
from keras_seq.tracking.tracker import Tracker

__all__ = ["StoreConnection", "Tracker", "connect", "flatten", "open_store", "track"]
