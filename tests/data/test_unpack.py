"""Packed tables are told by their content, read as they are, and bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.reading import unpack
from keras_seq.data.reading.by_schema import read_by_schema
from keras_seq.data.sources import load_series
from keras_seq.errors import ConfigError, DataError

TEXT = b"t,x,y\n" + b"".join(b"%d,%d.5,%d\n" % (i, i, i * i) for i in range(50))


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return file.getvalue()


PACKED = {
    "gzip": gzip.compress(TEXT),
    "two gzip streams": gzip.compress(TEXT[:300]) + gzip.compress(TEXT[300:]),
    "bzip2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "zstd": pa.compress(TEXT, "zstd", asbytes=True),
    "two zstd frames": pa.compress(TEXT[:300], "zstd", asbytes=True) + pa.compress(TEXT[300:], "zstd", asbytes=True),
    "zip": zipped(table_csv=TEXT),
    "zip with notes": zipped(data__table_csv=TEXT, README_md=b"read me", __MACOSX___table_csv=b"\0\5"),
}


def load(path, **options):
    return load_series(DataConfig(source="table", path=str(path), time="t", targets=("y",), **options), checked=False)


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.dat"])
def test_packed_tables_are_told_by_their_content(tmp_path, kind, name):
    (tmp_path / name).write_bytes(PACKED[kind])
    series = load(tmp_path / name)
    np.testing.assert_array_equal(series.values[:, 0], np.arange(50) + 0.5)
    assert read_by_schema(tmp_path / name, series.schema)["x"].tolist() == series.values[:, 0].tolist()


def test_one_of_several_tables_is_asked_for_by_name(tmp_path):
    (tmp_path / "t.zip").write_bytes(zipped(a_csv=b"t,x,y\n0,1,2\n", b_csv=TEXT))
    with pytest.raises(
        ConfigError, match=r"holds 2 tables: a\.csv, b\.csv\. Name one of them \(--data\.member a\.csv\)"
    ):
        load(tmp_path / "t.zip")
    series = load(tmp_path / "t.zip", member="b.csv")
    assert len(series.values) == 50 == len(read_by_schema(tmp_path / "t.zip", series.schema))
    with pytest.raises(ConfigError, match=r"no member 'c\.csv' \(data\.member\)"):
        load(tmp_path / "t.zip", member="c.csv")


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("fault", ["cut", "flipped"])
def test_damaged_files_are_one_paragraph(tmp_path, kind, fault):
    content = bytearray(PACKED[kind])
    if fault == "cut":
        content = content[: len(content) - 9 if "zip" not in kind else len(content) // 2]
    else:
        content[len(content) // 2] ^= 255
    (tmp_path / "t.csv").write_bytes(content)
    try:
        series = load(tmp_path / "t.csv")
    except (DataError, ConfigError) as error:
        assert "t.csv" in str(error)
    else:  # zstd has no check sum unless asked for
        assert fault == "flipped" and "zstd" in kind and len(series.values) <= 50


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (zipped(readme_md=b"x"), "without a table of text: it holds readme.md"),
        (zipped(t_csv=gzip.compress(TEXT)), "packed twice"),
        (gzip.compress(lzma.compress(TEXT)), "packed twice"),
        (b"PK\x03\x04 and so on", "cannot be read: .*zip"),
    ],
)
def test_what_no_table_is_in_is_refused(tmp_path, content, match):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=match):
        load(tmp_path / "t.csv")


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, lambda b: pa.compress(b, "zstd", asbytes=True)])
def test_a_file_that_unpacks_to_any_size_is_refused_in_flat_memory(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(unpack, "FREE_BYTES", 2**22)
    (tmp_path / "t.csv").write_bytes(pack(TEXT + b"0,0.5,0\n" * 2**22))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"unpacks to more than .* GB, over 1000 times its packed size"):
        load(tmp_path / "t.csv")
    assert tracemalloc.get_traced_memory()[1] < 3 * 2**25
    tracemalloc.stop()


def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch):
    from keras_seq.data.reading import lines, stream

    monkeypatch.setattr(lines, "LONGEST_LINE", 2**21)
    monkeypatch.setattr(stream, "LONGEST_LINE", 2**21)
    for content in (b"1" * 2**22, TEXT + b"1" * 2**22):
        (tmp_path / "t.csv").write_bytes(gzip.compress(content))
        with pytest.raises(DataError, match=r"a line of more than 2 million characters"):
            load(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(TEXT + b"1" * 2**22)
    with pytest.raises(DataError, match=r"more than a million characters"):
        load(tmp_path / "t.csv")


def test_very_many_columns(tmp_path):
    names = [f"c{i}" for i in range(20_000)]
    row = ",".join("0.123456789012345" for _ in names)
    (tmp_path / "t.csv").write_text("t,y," + ",".join(names) + "\n" + "".join(f"{i},1,{row}\n" for i in range(3)))
    assert load(tmp_path / "t.csv", features=("c0", "c19999")).values.shape == (3, 2)
    (tmp_path / "t.csv").write_text("t,y," + ",".join(f"c{i}" for i in range(100_000)) + "\n1,2\n")
    with pytest.raises(DataError, match=r"names 100002 columns, 100000 are read at most"):
        load(tmp_path / "t.csv")
