"""A training by one process, with the operations of a process group; what several workers share of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keras_seq.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


class SingleProcess:
    """The process group of one worker: sums, broadcasts and gathers give back what they are given."""

    rank, size = 0, 1

    @property
    def chief(self) -> bool:
        """This process writes what a run leaves."""
        return self.rank == 0

    def all_reduce_sum(self, numbers: tf.Tensor) -> tf.Tensor:
        """Sum over the workers of ``(n,)`` float32, inside or outside a graph."""
        return numbers

    def broadcast(self, data: bytes) -> bytes:
        """The chief's bytes; what others give is not read."""
        return data

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether any worker has raised it."""
        return [bool(flag) for flag in flags]

    def all_gather(self, rows: np.ndarray) -> np.ndarray:
        """All workers' rows ``(rows, ...)``, in the order of their ranks; only the numbers of rows may differ."""
        return rows

    def average_variables(self, variables: Sequence[keras.Variable]) -> None:
        """Set float variables to their mean over the workers; equal ones stay what they are."""

    def check_same(self, key: str) -> None:
        """Compare a key with the chief's: all workers must have been started alike.

        Raises:
            TrainingError: some have another key than the chief; names them.
        """

    def spread_seeds(self, variables: Sequence[keras.Variable]) -> None:
        """Give each worker random numbers of its own (dropout, noise); the chief keeps a single process's."""

    def barrier(self) -> None:
        """Wait until all workers have come here."""

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn the loss of a worker within the block into ``WorkerLost``."""
        yield


def part(size: int | tf.Tensor, rank: int, parts: int) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """First row and end of one part of ``size`` rows (a number or a tensor); parts differ by one row at most."""
    return size * rank // parts, size * (rank + 1) // parts


def check_parts(batch: int, parts: int, *, what: str) -> None:
    """Refuse batches too small to share.

    Raises:
        ConfigError: fewer samples in a batch than ``parts``.
    """
    if batch < parts:
        raise ConfigError(
            f"A training batch has {batch} samples, fewer than the {parts} {what} that share it. Raise "
            "training.batch_size, or use fewer."
        )
