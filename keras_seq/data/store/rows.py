"""Rows on their way into a shard: checked as they come, joined to pieces, facts gathered for where shards meet."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_seq.data.known import first_known
from keras_seq.data.quality import QualityReport, check_rows
from keras_seq.data.running_stats import Moments
from keras_seq.data.series import Series
from keras_seq.data.store.plan import Recipe
from keras_seq.data.store.shard_file import Run, ShardFile
from keras_seq.data.store.units import UnitList, not_rising
from keras_seq.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

LEAST_PIECE = 4  # a unit's end closes a piece that is at least this part of a full one

Rows = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]  # values, targets and time, one entry a row


class RowTaker:
    """Takes in chunks in file order: refuses rows that cannot be streamed, and hands pieces to a sink.

    Args:
        recipe: of the run.
        path: of the input, for messages.
        sink: where pieces go.
        piece_rows: most rows of one.
    """

    def __init__(self, recipe: Recipe, path: str, sink: ShardFile, piece_rows: int) -> None:
        self.recipe, self.schema, self.path = recipe, recipe.schema, Path(path)
        self.time_kind = recipe.time_kind or "f8"
        self.sink, self.piece_rows = sink, piece_rows
        self.units = UnitList(timed=True)
        self.rows = 0
        self.held: list[Rows] = []  # of the piece to be
        self.held_runs: list[Run] = []
        self.held_rows = 0
        self.pieces: list[int] = []  # rows of each
        self.moments: list[NDArray[np.float64]] = []  # of each

    def add(self, frame: pd.DataFrame) -> None:
        """Take in a chunk, a pandas frame of the layout's columns."""
        schema = self.schema
        values = np.ascontiguousarray(frame[list(schema.features)].to_numpy(np.float32))
        unit = self._names(frame, schema.unit_column)
        group = self._names(frame, schema.group_column) if schema.group_column else unit
        time = frame[schema.time_column].to_numpy(self.time_kind) if schema.time_column else None
        self.add_rows(values, self._targets(frame), unit, group, time)

    def _names(self, frame: pd.DataFrame, column: str | None) -> NDArray[np.str_]:
        if column is None:
            return np.full(len(frame), self.path.stem)
        missing = frame[column].isna().to_numpy()
        if missing.any():
            raise DataError(
                f"Column '{column}' of '{self.path}' is empty {self._where(int(missing.argmax()))}; every row "
                "needs its unit (and group). Fill it."
            )
        return frame[column].to_numpy(str)

    def _where(self, row: int) -> str:
        return f"in data row {self.rows + row + 1} of '{self.path}'"

    def _targets(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """``(rows, targets)``; labels as class numbers."""
        import pandas as pd

        schema, first, codes = self.schema, self.schema.targets[0], self.recipe.codes
        if not codes:
            return np.ascontiguousarray(frame[list(schema.targets)].to_numpy(np.float32))
        places, found = pd.factorize(frame[first])  # -1 where missing
        labels = found.tolist()
        if unknown := [label for label in labels if label not in codes]:
            raise DataError(
                f"Target '{first}' of '{self.path}' holds '{unknown[0]}', which is not among the schema's "
                f"classes {', '.join(schema.classes)}."
            )
        return np.array([*(codes[label] for label in labels), np.nan], np.float32)[places][:, None]

    def add_rows(
        self,
        values: NDArray[np.float32],
        targets: NDArray[np.float32],
        unit: NDArray[np.str_],
        group: NDArray[np.str_],
        time: NDArray[Any] | None,
    ) -> None:
        """Take in a chunk as arrays, one entry a row; without ``time`` steps are counted."""
        changes = (unit[1:] != unit[:-1]) | (group[1:] != group[:-1])
        offsets = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(unit)]]).astype(np.int64)
        lengths = np.diff(offsets)
        if time is None:
            time = np.arange(len(unit)) - np.repeat(offsets[:-1], lengths).astype(np.float64)
            time[: offsets[1]] += self.units.rows[-1] if unit[0] == self.units.last else 0
        if (falls := ~(time[1:] > time[:-1]) & ~changes).any():
            at = int(np.argmax(falls)) + 1
            raise not_rising(unit[at], time[at], time[at - 1], self._where(at))
        first = first_known(targets, offsets)
        same = (targets == np.repeat(first, lengths, axis=0)) | np.isnan(targets)
        self.units.constant &= bool(same.all())
        for number, (low, high) in enumerate(pairwise(offsets.tolist())):
            run, ends = (str(unit[low]), str(group[low]), high - low), (time[low], time[high - 1])
            if self.units.add(*run, ends, first[number], self._where(low)):
                self._close_piece(self.piece_rows // LEAST_PIECE)
            self._hold((values[low:high], targets[low:high], time[low:high]), run)
        self._check((values, targets, time), unit[offsets[:-1]], offsets)
        self.rows += len(unit)

    def _check(self, rows: Rows, units: NDArray[np.str_], offsets: NDArray[np.int64]) -> None:
        """Quality check of a chunk, by the rules for rows of a series in memory."""
        schema = self.schema.model_copy(update={"target_per": "step"})
        values, targets, time = rows
        series = Series(schema, values, targets, offsets, units, units, time, np.full(len(units), ""))
        errors = tuple(finding for finding in check_rows(series) if finding.severity == "error")
        QualityReport(schema.name, errors[:20], self.rows + len(values), len(self.units.names)).raise_if_bad()

    def _hold(self, rows: Rows, run: Run) -> None:
        """Keep a unit's rows for the piece to be; a full one is written."""
        start, end = 0, run[2]
        while start < end:
            stop = min(end, start + self.piece_rows - self.held_rows)  # what fits into the piece
            self.held.append((rows[0][start:stop], rows[1][start:stop], rows[2][start:stop]))
            self.held_runs.append((*run[:2], stop - start))
            self.held_rows += stop - start
            self._close_piece(self.piece_rows)
            start = stop

    def _close_piece(self, least: int) -> None:
        """Write the held rows as a piece, if there are at least so many."""
        if not self.held or self.held_rows < least:
            return
        values, targets, time = (np.concatenate(parts) for parts in zip(*self.held, strict=True))
        self.sink.piece(values, targets, time, self.held_runs)
        moments = Moments(values.shape[1] + targets.shape[1])
        moments.add(np.concatenate([values, targets], axis=1))
        self.moments.append(moments.table())
        self.pieces.append(self.held_rows)
        self.held, self.held_runs, self.held_rows = [], [], 0

    def facts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What is known of the shard once all rows are in.

        Returns:
            Plain facts; and rows and moments of each piece, times and first known target of each unit's rows.
        """
        self._close_piece(1)
        units, targets = self.units, len(self.schema.targets)
        plain = {
            "rows": self.rows,
            "units": list(units.names),
            "groups": units.groups,
            "unit_rows": units.rows,
            "constant": units.constant,
        }
        arrays = {
            "piece_rows": np.array(self.pieces, np.int64),
            "moments": np.array(self.moments, np.float64).reshape(-1, 5, len(self.schema.columns) + targets),
            "times": np.array(units.times, self.time_kind).reshape(-1, 2),
            "first_targets": np.array(units.targets, np.float32).reshape(-1, targets),
        }
        return plain, arrays
