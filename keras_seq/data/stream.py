"""Pools of rows from a series on disk: blocks are read ahead, and those of a pool shuffled together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.cutter import WindowRows, window_rows
from keras_seq.data.epoch_order import epoch_plan
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.data.windows import WindowIndex, WindowRuns
from keras_seq.errors import ConfigError

BLOCK_ROWS = 32768  # most rows of one block, about
GAP = 256  # rows between two windows that are read rather than left out
READERS = 2  # blocks read at the same time, ahead of their use

Pool = tuple[WindowRows, NDArray[np.int64]]  # rows, and numbers of the windows of each batch


class BlockReader:
    """Brings the rows of a stored series and the windows in them, block after block, in memory that stays flat.

    Attributes:
        block: windows in one block, a multiple of the batch size.
        blocks: number of blocks.
        pool: blocks whose windows are shuffled together.
    """

    def __init__(
        self, series: Series, index: WindowIndex | WindowRuns, spec: DataSpec, config: DataConfig, batch_size: int
    ) -> None:
        if config.balance == "oversample":
            raise ConfigError(
                "data.balance=oversample picks rare windows from the whole file and needs data.cache=true; with "
                "data.cache=false use training.class_weight=balanced."
            )
        self.series, self.index, self.spec, self.config = series, index, spec, config
        self.batch_size = min(batch_size, len(index))
        self.pool = config.shards.interleave
        row = 4 * (len(series.schema.columns) + len(series.schema.targets))
        block_rows = min(BLOCK_ROWS, int(config.shards.buffer_mb * 2**20 / row / self.pool))
        wanted = max(1, block_rows * len(index) // max(_rows_of(index), 1))
        self.block = max(1, wanted // self.batch_size) * self.batch_size
        self.blocks = -(-len(index) // self.block)

    def training(self, seed: int, first_epoch: int) -> Iterator[Pool]:
        """Endless pools with their batches, ``(steps, batch)``; both in an order by (seed, epoch)."""
        epoch = first_epoch
        while True:
            yield from self._epoch(seed, epoch)
            epoch += 1

    def in_order(self) -> Iterator[Pool]:
        """Every block as a pool, its windows in order ``(windows,)``."""
        for block in self._read(range(self.blocks)):
            yield _joined(self, [block]), np.arange(len(block.windows))

    def _epoch(self, seed: int, epoch: int) -> Iterator[Pool]:
        shuffle = self.config.shuffle
        rng = np.random.default_rng([seed % 2**63, epoch, 1])
        order = rng.permutation(self.blocks) if shuffle else np.arange(self.blocks)
        partial = len(self.index) % self.block
        if shuffle and 0 < partial < self.batch_size and self.blocks > 1:  # less than a batch: never a pool by itself
            order = np.concatenate([[self.blocks - 1], order[order != self.blocks - 1]])
        blocks = self._read(order.tolist(), in_turn=not shuffle or self.config.shards.deterministic)
        while pool := list(islice(blocks, self.pool)):
            rows = _joined(self, pool)
            pool.clear()
            plan = epoch_plan(
                rows.length.astype(np.int64),
                self.batch_size,
                seed=int(rng.integers(2**62)),
                epoch=epoch,
                shuffle=shuffle,
                group_lengths=self.spec.variable_length,
            )
            yield rows, plan

    def _read(self, numbers: Iterable[int], *, in_turn: bool = True) -> Iterator[_Block]:
        """Blocks with their rows; the next ones are read while one is used."""
        waiting: deque[Future[_Block]] = deque()
        with ThreadPoolExecutor(READERS) as readers:
            for number in numbers:
                waiting.append(readers.submit(self._block, number))
                if len(waiting) > READERS:
                    yield _next(waiting, in_turn)
            while waiting:
                yield _next(waiting, in_turn)

    def _block(self, number: int) -> _Block:
        first = number * self.block
        windows = self.index.take(np.arange(first, min(first + self.block, len(self.index))))
        spans, shift = _spans(windows, max(1, self.spec.horizon), len(self.series.values))
        values = [self.series.values[low:high] for low, high in spans]
        if self.series.schema.target_per == "unit":
            return _Block(windows, shift, _one(values), None)
        return _Block(windows, shift, _one(values), _one([self.series.targets[low:high] for low, high in spans]))


@dataclass(frozen=True)
class _Block:
    """Some windows and the rows they lie in; ``targets`` only where they are per step.

    ``shift (windows,)`` leads from a row of the series to the row of ``values`` for each window.
    """

    windows: WindowIndex
    shift: NDArray[np.int64]
    values: NDArray[np.float32]
    targets: NDArray[np.float32] | None


def _spans(windows: WindowIndex, ahead: int, rows: int) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Runs of rows that hold the windows and their targets, and the shift of each window into the joined runs.

    Rows between two windows far apart, such as those of units of another part, are not read.
    """
    ends = np.minimum(np.maximum(windows.start + windows.length, windows.target + ahead), rows)
    reached = np.maximum.accumulate(ends)
    begins = np.flatnonzero(windows.start[1:] > reached[:-1] + GAP) + 1
    first, last = np.concatenate([[0], begins]), np.concatenate([begins, [len(ends)]])
    spans = [
        (int(windows.start[one:other].min()), int(ends[one:other].max()))
        for one, other in zip(first, last, strict=True)
    ]
    lows, sizes = np.array([low for low, _ in spans]), np.array([high - low for low, high in spans])
    return spans, np.repeat(np.cumsum(sizes) - sizes - lows, last - first)


def _one(pieces: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _next(waiting: deque[Future[_Block]], in_turn: bool) -> _Block:
    """The oldest block that is waited for, or whichever is read first."""
    if in_turn:
        return waiting.popleft().result()
    done = next(iter(wait(waiting, return_when=FIRST_COMPLETED).done))
    waiting.remove(done)
    return done.result()


def _joined(reader: BlockReader, pool: list[_Block]) -> WindowRows:
    """The rows of some blocks, one after another, and the windows in them."""
    begins = np.cumsum([0, *(len(block.values) for block in pool)])
    windows = WindowIndex(
        *(np.concatenate([getattr(block.windows, name) for block in pool]) for name in WindowIndex.__dataclass_fields__)
    )
    shift = np.concatenate([block.shift + begin for block, begin in zip(pool, begins, strict=False)])
    per_unit = reader.series.schema.target_per == "unit"
    of_rows = [block.targets for block in pool if block.targets is not None]
    targets = np.asarray(reader.series.targets) if per_unit else np.concatenate(of_rows)
    values = np.concatenate([block.values for block in pool])
    return window_rows(values, targets, windows, shift, reader.spec, reader.config, per_unit=per_unit)


def _rows_of(index: WindowIndex | WindowRuns) -> int:
    """Rows that the windows lie in, about."""
    if isinstance(index, WindowRuns):
        return int((index.run_end + (index.run_count - 1) * index.stride - index.run_begin).sum())
    return int((index.start + index.length).max() - index.start.min())
