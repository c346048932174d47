"""Batches from a series on disk: blocks of rows are read, shuffled in a pool, and windows cut from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.config import DataConfig
from keras_seq.data.epoch_order import epoch_plan, weighing
from keras_seq.data.series import Series
from keras_seq.data.spec import DataSpec
from keras_seq.data.windows import WindowIndex, WindowRuns
from keras_seq.errors import ConfigError

BLOCK_ROWS = 32768  # rows of one block, about
POOL = 4  # blocks whose windows are shuffled together
READERS = 2  # blocks read at the same time, ahead of their use

Batch = tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[np.float32]]


class BlockReader:
    """Cuts windows out of a stored series, block after block, in memory that does not grow with the data.

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
        self.pool, block_rows = _pool(series, config)
        wanted = max(1, block_rows * len(index) // max(_rows_of(index), 1))
        self.block = max(1, wanted // self.batch_size) * self.batch_size
        self.blocks = -(-len(index) // self.block)

    def training(self, seed: int, first_epoch: int) -> Iterator[Batch]:
        """Endless batches; blocks, and windows within a pool of blocks, in an order by (seed, epoch)."""
        epoch = first_epoch
        while True:
            yield from self._epoch(seed, epoch)
            epoch += 1

    def in_order(self) -> Iterator[Batch]:
        """Every window once, in order; the last batch may be smaller."""
        for block in self._read(range(self.blocks)):
            rows = _Rows(self, [block])
            for low in range(0, len(block.windows), self.batch_size):
                yield rows.cut(np.arange(low, min(low + self.batch_size, len(block.windows))))

    def _epoch(self, seed: int, epoch: int) -> Iterator[Batch]:
        shuffle = self.config.shuffle
        rng = np.random.default_rng([seed % 2**63, epoch, 1])
        order = rng.permutation(self.blocks) if shuffle else np.arange(self.blocks)
        partial = len(self.index) % self.block
        if shuffle and 0 < partial < self.batch_size and self.blocks > 1:  # less than a batch: never a pool by itself
            order = np.concatenate([[self.blocks - 1], order[order != self.blocks - 1]])
        blocks = self._read(order.tolist(), in_turn=not shuffle or self.config.shards.deterministic)
        while pool := list(islice(blocks, self.pool)):
            rows = _Rows(self, pool)
            pool.clear()
            plan = epoch_plan(
                rows.windows.length,
                self.batch_size,
                seed=int(rng.integers(2**62)),
                epoch=epoch,
                shuffle=shuffle,
                group_lengths=self.spec.variable_length,
            )
            for numbers in plan:
                yield rows.cut(numbers)

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
        ends = windows.start + windows.length
        low, high = int(windows.start.min()), int(max(windows.target.max() + max(1, self.spec.horizon), ends.max()))
        high = min(high, len(self.series.values))
        per_unit = self.series.schema.target_per == "unit"
        targets = None if per_unit else self.series.targets[low:high]
        return _Block(windows, low, self.series.values[low:high], targets)


@dataclass(frozen=True)
class _Block:
    """Some windows and the rows they lie in, from row ``low`` on; ``targets`` only where they are per step."""

    windows: WindowIndex
    low: int
    values: NDArray[np.float32]
    targets: NDArray[np.float32] | None


def _next(waiting: deque[Future[_Block]], in_turn: bool) -> _Block:
    """The oldest block that is waited for, or whichever is read first."""
    if in_turn:
        return waiting.popleft().result()
    done = next(iter(wait(waiting, return_when=FIRST_COMPLETED).done))
    waiting.remove(done)
    return done.result()


def _pool(series: Series, config: DataConfig) -> tuple[int, int]:
    """Blocks in a pool, and rows of a block; of shards as ``data.shards`` wants it."""
    if getattr(series, "shards", None) is None:
        return POOL, BLOCK_ROWS
    row = 4 * (len(series.schema.columns) + len(series.schema.targets))
    return config.shards.interleave, max(1, int(config.shards.buffer_mb * 2**20 / row / config.shards.interleave))


class _Rows:
    """The rows of some blocks, and the windows in them."""

    def __init__(self, reader: BlockReader, read: list[_Block]) -> None:
        self.spec, self.config = reader.spec, reader.config
        self.per_unit = reader.series.schema.target_per == "unit"
        blocks = [block.windows for block in read]
        begins = np.cumsum([0, *(len(block.values) for block in read)])
        shifts = [np.full(len(b.windows), begin - b.low, np.int64) for b, begin in zip(read, begins, strict=False)]
        self.values = read[0].values if len(read) == 1 else np.concatenate([block.values for block in read])
        targets = [block.targets for block in read if block.targets is not None]
        self.targets = np.asarray(reader.series.targets) if self.per_unit else np.concatenate(targets)
        if self.config.target_cap is not None and not self.spec.classifies:
            self.targets = np.minimum(self.targets, np.float32(self.config.target_cap))
        self.windows = WindowIndex(
            *(np.concatenate([getattr(block, name) for block in blocks]) for name in WindowIndex.__dataclass_fields__)
        )
        self.shift = np.concatenate(shifts)

    def cut(self, numbers: NDArray[np.int64]) -> Batch:
        """One batch, as ``make_dataset`` describes it; windows written ``~number`` have no weight."""
        numbers, real = weighing(numbers)
        inputs, targets, weights = self._cut(numbers)
        return inputs, targets, weights * (real[:, None] if self.spec.per_step else real)

    def _cut(self, numbers: NDArray[np.int64]) -> Batch:
        windows, spec = self.windows, self.spec
        start, length = windows.start[numbers] + self.shift[numbers], windows.length[numbers]
        time = spec.time
        if spec.variable_length:
            time = min(-(-int(length.max()) // self.config.bucket) * self.config.bucket, spec.time)
        steps = np.arange(time)
        real = steps < length[:, None]
        rows = start[:, None] + np.minimum(steps, length[:, None] - 1)
        values = self.values.take(rows, axis=0)  # twice as fast as values[rows]
        inputs: dict[str, NDArray[Any]] = {"values": values}
        if spec.variable_length:
            values[~real] = 0.0
            inputs["lengths"] = length.astype(np.int32)
        if spec.per_step:
            owned = rows - self.shift[numbers][:, None] >= windows.first[numbers][:, None]
            return inputs, *_known(self.targets[rows], real & owned)
        answer = windows.unit[numbers] if self.per_unit else windows.target[numbers] + self.shift[numbers]
        if spec.horizon:
            answer = answer[:, None] + np.arange(spec.horizon)
        targets = self.targets[answer]
        finite = np.isfinite(targets)
        weights: NDArray[np.float32] = np.asarray(finite.reshape(len(finite), -1).all(axis=1), np.float32)
        targets = np.where(finite, targets, np.float32(0))
        if spec.task == "multiclass":
            return inputs, targets[:, 0].astype(np.int32), weights
        return inputs, targets[:, :1] if spec.task == "binary" else targets, weights


def _rows_of(index: WindowIndex | WindowRuns) -> int:
    """Rows that the windows lie in, about."""
    if isinstance(index, WindowRuns):
        return int((index.run_end + (index.run_count - 1) * index.stride - index.run_begin).sum())
    return int((index.start + index.length).max() - index.start.min())


def _known(targets: NDArray[np.float32], mine: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    known = mine & np.isfinite(targets).all(axis=-1)
    return np.where(known[:, :, None], targets, np.float32(0)), known.astype(np.float32)
