"""``training.profile``: some batches traced for TensorBoard's profiler."""

from __future__ import annotations

from pathlib import Path


class Tracer:
    """Traces batches FIRST to LAST of this process, counted from 1.

    Args:
        first: first batch traced; 0: none is.
        last: last one.
        folder: of the trace; it lands in ``plugins/profile/<time>/*.xplane.pb``.
    """

    def __init__(self, first: int = 0, last: int = 0, folder: Path | None = None) -> None:
        self.first, self.last, self.folder = first, last, folder
        self._batch, self._running = 0, False

    def next(self, count: int) -> int:
        """Number of batches, at most ``count``, to run at once so that the trace begins and ends where it should."""
        if not self.first or self._batch >= self.last:
            return count
        if self._batch + 1 < self.first:
            return min(count, self.first - 1 - self._batch)
        if not self._running:
            import tensorflow as tf

            assert self.folder is not None
            self.folder.mkdir(parents=True, exist_ok=True)
            tf.profiler.experimental.start(str(self.folder))
            self._running = True
        return min(count, self.last - self._batch)

    def done(self, count: int) -> None:
        """Count batches that have run and whose results have been read."""
        self._batch += count
        if self._running and self._batch >= self.last:
            self.close()

    def close(self) -> None:
        """Write the trace, also when training ends before its last batch."""
        if self._running:
            import tensorflow as tf

            tf.profiler.experimental.stop()
            self._running = False
