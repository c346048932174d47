"""Files of registered formats: told by content, converted once, converted anew when their content changes."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.formats import TableFormat, known_formats, register, registry
from keras_seq.data.formats.converted import parquet_of
from keras_seq.data.formats.registry import format_name
from keras_seq.data.reading import Reading
from keras_seq.data.sources import load_series
from keras_seq.errors import DataError


@pytest.fixture
def stores(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    return tmp_path / "stores" / "tables"


@pytest.fixture
def squares(monkeypatch):
    """A format from outside the package: a file that holds a count of rows."""
    monkeypatch.setattr(registry, "_FORMATS", dict(known_formats()))
    calls = []

    @register(TableFormat("squares", "a file of squares", (".sq",)))
    def read_squares(path, reading):
        calls.append(path)
        numbers = np.arange(int(path.read_text()))
        yield pa.record_batch({"x": numbers, "y": numbers**2})

    return calls


def test_a_format_from_outside_is_a_source_like_any_other(tmp_path, stores, squares):
    path = tmp_path / "four.sq"
    path.write_text("4")
    series = load_series(DataConfig(source="table", path=str(path), targets=("y",)))
    np.testing.assert_array_equal(series.targets[:, 0], [0, 1, 4, 9])


def test_it_is_converted_once_and_anew_when_its_content_changes(tmp_path, stores, squares):
    path = tmp_path / "n.sq"
    path.write_text("4")
    stamp = path.stat().st_mtime_ns
    first = parquet_of(path, Reading())
    assert parquet_of(path, Reading()) == first and len(squares) == 1 and list(stores.iterdir()) == [first]
    path.write_text("5")
    os.utime(path, ns=(stamp, stamp))  # size and time of writing are as before: the content decides
    assert parquet_of(path, Reading()) != first and len(squares) == 2


def test_a_kind_is_told_by_content_before_the_name(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((2, 3, 1)))
    path = tmp_path / "table"
    path.write_bytes(b"PAR1 and more")
    assert format_name(path) == "parquet"
    assert format_name(tmp_path / "a.npz") == "arrays"
    path.write_text("a,b\n1,2\n")
    assert format_name(path) == "csv"


def test_what_a_library_raises_is_one_paragraph(tmp_path, stores, squares):
    path = tmp_path / "n.sq"
    path.write_text("four")
    with pytest.raises(DataError, match=r"cannot be read as a file of squares: invalid literal for int"):
        parquet_of(path, Reading())
    path.write_text("0")
    with pytest.raises(DataError, match="without rows"):
        parquet_of(path, Reading())
    assert not list(stores.parent.rglob("*.parquet"))


def test_a_missing_package_is_named_with_its_extra(tmp_path, stores, monkeypatch):
    monkeypatch.setattr(registry, "_FORMATS", dict(known_formats()))
    register(TableFormat("rare", "a rare file", (".rare",), extra=("rare", "no_such_package")))(
        lambda path, reading: iter(())
    )
    (tmp_path / "a.rare").write_text("x")
    with pytest.raises(DataError, match=r"pip install 'keras-seq\[rare\]'"):
        parquet_of(tmp_path / "a.rare", Reading())
