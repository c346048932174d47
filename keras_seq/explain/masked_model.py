"""The masked model that all methods explain: some values of a sample are known, others come from its backgrounds.

The value of a set of known values is the mean answer over the backgrounds laid beside the sample, with the known values
put in. Knowing nothing is the base, knowing all is the prediction; attributions divide the difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.explain.attribution import Attribution
from keras_seq.explain.background import Background
from keras_seq.explain.explained_model import ExplainedModel
from keras_seq.explain.progress import SILENT, Ticker
from keras_seq.explain.samples import Samples

ROWS_AT_ONCE = 2**27  # bytes of windows prepared at a time
SIZES = 3  # padded lengths that samples are sorted into: the longest, a half and a quarter of it


class MaskedModel:
    """Samples, their backgrounds and the model explained.

    Args:
        explained: the model and its target.
        samples: to explain.
        background: what stands in.
        schema_units: physical units of the features; () where unknown.
        ticker: told of progress.
        select: weights of the outputs ``(samples, outputs)``; None: those of the target.
    """

    def __init__(
        self,
        explained: ExplainedModel,
        samples: Samples,
        background: Background,
        *,
        schema_units: tuple[str, ...] = (),
        ticker: Ticker = SILENT,
        select: NDArray[np.float32] | None = None,
    ) -> None:
        self.explained, self.samples, self.background, self.ticker = explained, samples, background, ticker
        self.units = schema_units or ("",) * samples.values.shape[2]
        self._select = select
        self._beside: dict[int, NDArray[np.float32]] = {}

    @cached_property
    def width(self) -> NDArray[np.int64]:
        """Padded steps at which each sample is computed ``(samples,)``: few sizes, so that little is compiled."""
        if not self.explained.spec.variable_length:
            return np.full(len(self.samples), self.explained.spec.time)
        longest = max(int(self.samples.lengths.max()), 1)
        sizes = np.array(sorted({-(-longest // 2**k) for k in range(SIZES)}))
        return sizes[np.searchsorted(sizes, self.samples.lengths)]

    @cached_property
    def outputs(self) -> NDArray[np.float32]:
        """The model's outputs for the samples ``(samples, outputs)``."""
        outputs = np.empty((len(self.samples), self.explained.width), np.float32)
        for width in np.unique(self.width):
            mine = np.flatnonzero(self.width == width)
            outputs[mine] = self.explained.outputs(self.samples.values[mine, :width], self.samples.lengths[mine])
        return outputs

    @cached_property
    def select(self) -> NDArray[np.float32]:
        """Weights of the outputs ``(samples, outputs)``."""
        return self.explained.target.select(self.outputs) if self._select is None else self._select

    @cached_property
    def predictions(self) -> NDArray[np.float64]:
        """The number explained, ``(samples,)``."""
        return self.explained.target.number(self.outputs, self.select)

    @cached_property
    def base_answers(self) -> list[NDArray[np.float64]]:
        """Answers to each sample's backgrounds, ``(backgrounds,)`` each."""
        answers_by_sample: list[NDArray[np.float64]] = [np.zeros(0)] * len(self.samples)
        for width in np.unique(self.width):
            mine = np.flatnonzero(self.width == width)
            size = max(1, ROWS_AT_ONCE // max(self.beside(int(mine[0])).nbytes, 1))
            for low in range(0, len(mine), size):  # rows of many samples in one call
                some = mine[low : low + size]
                windows = [self.beside(int(k)) for k in some]
                counts = [len(one) for one in windows]
                lengths = np.repeat(self.samples.lengths[some], counts)
                outputs = self.explained.outputs(np.concatenate(windows), lengths)
                select = np.repeat(self.select[some], counts, axis=0)
                answers = np.split(self.explained.target.number(outputs, select), np.cumsum(counts)[:-1])
                for k, one in zip(some, answers, strict=True):
                    answers_by_sample[k] = one
        return answers_by_sample

    @cached_property
    def base(self) -> NDArray[np.float64]:
        """Mean answer over each sample's backgrounds ``(samples,)``."""
        return np.array([answers.mean() for answers in self.base_answers])

    @cached_property
    def output_range(self) -> float:
        """From the least to the largest answer to a sample or a background: what errors are a share of."""
        known = np.concatenate([self.predictions, *self.base_answers])
        return max(float(np.ptp(known)), 1e-9)

    def beside(self, k: int) -> NDArray[np.float32]:
        """Backgrounds of sample ``k`` ``(backgrounds, width, features)``: NaN where it has none, 0 at padding."""
        if k not in self._beside:
            length, width = int(self.samples.lengths[k]), int(self.width[k])
            sample = self.samples.values[k, :length]
            windows = self.background.beside(sample) if length else self.background.beside(sample[:0])
            padded = np.zeros((len(windows), width, sample.shape[1]), np.float32)
            padded[:, :length] = np.where(np.isfinite(sample), windows, np.nan)
            if sum(array.nbytes for array in self._beside.values()) > 2**28:
                self._beside.clear()
            self._beside[k] = padded
        return self._beside[k]

    def sample(self, k: int) -> NDArray[np.float32]:
        """Sample ``k`` padded to its width, ``(width, features)``; what is infinite counts as missing."""
        values = self.samples.values[k, : self.width[k]]
        return np.where(np.isfinite(values), values, np.nan).astype(np.float32)

    def known(self, k: int) -> NDArray[np.bool_]:
        """Where sample ``k`` has a value, ``(width, features)``."""
        real = np.arange(int(self.width[k]))[:, None] < self.samples.lengths[k]
        return np.isfinite(self.sample(k)) & real

    def answers(self, k: int, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The number explained of sample ``k`` for windows ``(rows, width, features)``."""
        lengths = np.full(len(windows), self.samples.lengths[k], np.int32)
        outputs = self.explained.outputs(np.ascontiguousarray(windows, np.float32), lengths)
        return self.explained.target.number(outputs, self.select[k])

    def mean_answers(self, k: int, present: NDArray[np.bool_], *, most: int = 0) -> NDArray[np.float64]:
        """Mean answer over the backgrounds where only ``present`` values of sample ``k`` are known.

        Args:
            k: number of the sample.
            present: bool ``(sets, width, features)``.
            most: use so many backgrounds at most; 0: all.

        Returns:
            ``(sets,)``.
        """
        sample, windows = self.sample(k), self.beside(k)
        if most and len(windows) > most:
            windows = windows[np.linspace(0, len(windows) - 1, most).round().astype(int)]
        means = np.empty(len(present))
        size = max(1, 8 * self.explained.chunk_rows(sample.shape[0]) // len(windows))
        for low in range(0, len(present), size):
            sets = present[low : low + size, None]
            rows = np.where(sets, sample, windows).reshape(-1, *sample.shape)
            means[low : low + size] = self.answers(k, rows).reshape(-1, len(windows)).mean(1)
        return means

    def attribute_each(
        self, method: str, explain: Callable[[int], NDArray[Any]], *, additive: bool, **details: object
    ) -> Attribution:
        """Attributions by a function that explains one sample, given its number, as ``(width, features)``."""
        start, values = time.perf_counter(), []
        with self.ticker.stage(method.replace("_", " "), len(self.samples)) as tick:
            for k in range(len(self.samples)):
                values.append(explain(k))
                tick()
        return self.attribution(values, method, additive=additive, **details, seconds=time.perf_counter() - start)

    def attribution(
        self, values: Sequence[NDArray[Any]], method: str, *, additive: bool, base: object = None, **details: object
    ) -> Attribution:
        """Attributions of the samples ``(width, features)`` each, as the common result."""
        steps = self.samples.values.shape[1]
        joined = np.zeros((len(values), steps, len(self.explained.spec.features)), np.float32)
        for k, (row, one) in enumerate(zip(joined, values, strict=True)):
            real = min(int(self.samples.lengths[k]), len(one))
            row[:real] = np.where(self.known(k)[:real], one[:real], 0.0)
        facts = {"backgrounds": len(self.beside(0)), "baseline": self.background.kind, **details}
        return Attribution(
            joined,
            self.base if base is None else np.asarray(base),
            self.predictions,
            self.samples.lengths,
            self.explained.spec.features,
            self.units,
            method,
            self.explained.target.name,
            self.explained.target.unit,
            self.samples.names,
            additive,
            self.output_range,
            facts,
        )
