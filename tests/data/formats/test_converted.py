"""Files of registered formats: told by content, converted once, converted anew when their content changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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

ROOT = Path(__file__).parents[3]


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


def test_another_package_brings_a_format_and_a_source_by_entry_points(tmp_path):
    """In a process of its own, as the registries are filled once."""
    (tmp_path / "plug.py").write_text(
        "import pyarrow as pa\n"
        "from keras_seq.data.formats import TableFormat, register\n"
        "from keras_seq.data.sources.registry import SourceInfo\n"
        "from keras_seq.data.sources import registry\n"
        "@register(TableFormat('ones', 'a file of ones', ('.ones',)))\n"
        "def read(path, reading):\n"
        "    yield pa.record_batch({'x': [1.0] * 3, 'y': [0.0, 1.0, 2.0]})\n"
        "registry.register(SourceInfo('pumps', 'pumps', embedded=True))(lambda config: None)\n"
    )
    points = "[keras_seq.formats]\nones = plug\n[keras_seq.sources]\npumps = plug\n"
    info = tmp_path / "plug-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    (tmp_path / "a.ones").write_text("x")
    script = (
        "from keras_seq.config import DataConfig\n"
        "from keras_seq.data.sources import load_series\n"
        "from keras_seq.data.sources.registry import known_sources\n"
        "print('pumps' in known_sources())\n"
        "print(load_series(DataConfig(source='table', path='a.ones', targets=('y',))).targets.ravel().tolist())\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "KERAS_SEQ_STORES": str(tmp_path / "s")}
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert answer.stdout.split("\n")[:2] == ["True", "[0.0, 1.0, 2.0]"], answer.stderr
