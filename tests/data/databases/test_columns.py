"""Values of rows become columns of one type, whatever the database says of types beforehand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from keras_seq.data.databases.columns import ColumnWriter, to_column
from keras_seq.errors import DataError

NOON = dt.datetime(2026, 3, 1, 12)


@pytest.mark.parametrize(
    ("values", "kind", "same"),
    [
        ([1, None, 3], pa.int64(), [1, None, 3]),
        ([2**70, 1], pa.float64(), [2.0**70, 1.0]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([Decimal("0.10"), None], pa.float64(), [0.1, None]),
        ([True, None, False], pa.bool_(), [True, None, False]),
        ([True, 2], pa.float64(), [1.0, 2.0]),
        (["a", 1], pa.string(), ["a", "1"]),
        ([None, None], pa.null(), [None, None]),
        ([dt.date(2026, 3, 1)], pa.date32(), [dt.date(2026, 3, 1)]),
        ([NOON, dt.date(2026, 3, 1)], pa.timestamp("us"), [NOON, dt.datetime(2026, 3, 1)]),
        ([dt.timedelta(minutes=2)], pa.float64(), [120.0]),
        ([dt.time(7, 30)], pa.string(), ["07:30:00"]),
    ],
)
def test_values_become_columns(values, kind, same):
    column = to_column(values, "x", "the rows")
    assert column.type == kind and column.to_pylist() == same


def test_times_with_a_zone_are_universal():
    zone = dt.timezone(dt.timedelta(hours=2))
    column = to_column([NOON.replace(tzinfo=zone), NOON.replace(tzinfo=dt.UTC)], "at", "the rows")
    assert column.type == pa.timestamp("us", "UTC")
    assert [value.hour for value in column.to_pylist()] == [10, 12]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([{"a": 1}], "JSON"),
        ([[1, 2]], "arrays or JSON"),
        ([b"x"], "bytes"),
        ([NOON, NOON.replace(tzinfo=dt.UTC)], "mixes"),
    ],
)
def test_what_is_no_column_is_refused(values, what):
    with pytest.raises(DataError, match=f"Column 'meta' of the rows .*{what}"):
        to_column(values, "meta", "the rows")


def write(path, *batches, kinds=None):
    with ColumnWriter(path, [f"c{i}" for i in range(len(batches[0][0]))], kinds or {}, "the rows") as writer:
        for rows in batches:
            writer.add(rows)
        writer.close()
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    return parquet.read_table(path)


def test_a_type_that_only_later_rows_show(tmp_path):
    table = write(tmp_path / "x.parquet", [(None, 1, 1, "a")], [(2, 2.5, "b", "b")], [(3.5, None, None, "c")])
    assert [str(kind) for kind in table.schema.types] == ["double", "double", "string", "string"]
    assert table.to_pydict() == {
        "c0": [None, 2.0, 3.5],
        "c1": [1.0, 2.5, None],
        "c2": ["1", "b", None],
        "c3": ["a", "b", "c"],
    }


def test_a_type_that_is_known_needs_no_value(tmp_path):
    table = write(tmp_path / "x.parquet", [(None, 1)], kinds={"c0": pa.timestamp("us")})
    assert table.schema.types[0] == pa.timestamp("us") and table.to_pydict() == {"c0": [None], "c1": [1]}


def test_kinds_that_do_not_go_together(tmp_path):
    with pytest.raises(DataError, match=r"'c0' of the rows holds int64 in its first rows and timestamp\[us\] later"):
        write(tmp_path / "x.parquet", [(1,)], [(NOON,)])
