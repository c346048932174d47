"""Files damaged at random places give one paragraph, or a table: never a traceback."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_seq.data.formats.converted import parquet_of
from keras_seq.data.reading import Reading
from keras_seq.errors import DataError, KerasSeqError

TS = "#x\n@problemName p\n@timeStamps false\n@dimensions 2\n@classLabel true a b\n@data\n1,2:3,?:a\n4:5:b\n6,7:8,9:a\n"
STAMPED = "@timeStamps true\n@targetlabel true\n@data\n(0,1),(1,2):(0,3):0.5\n(2007-01-01 00:00:00,4):(0,5):1\n"
TSF = (
    "@attribute series_name string\n@attribute start date\n@frequency 10_minutes\n@horizon 2\n@data\n"
    "T1:2020-01-31 00-00-00:1,2,3\nT2:2020-01-31 00-00-00:4,?\n"
)
ARFF = (
    "@relation r\n@attribute bag relational\n@attribute att0 numeric\n@attribute att1 numeric\n@end bag\n"
    "@attribute class {a,'b c'}\n@data\n'1,2\\n3,4',a\n'5,?\\n6,7','b c'\n"
)
FLAT = "@relation r\n@attribute x real\n@attribute d date 'yyyy'\n@attribute c {0,1}\n@data\n1,2007,0\n{0 3, 2 1}\n"


@st.composite
def damaged(draw):
    """A file of one kind with bytes taken out, put in or exchanged."""
    suffix, text = draw(st.sampled_from([("ts", TS), ("ts", STAMPED), ("tsf", TSF), ("arff", ARFF), ("arff", FLAT)]))
    data = bytearray(text.encode())
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        piece = draw(
            st.sampled_from([b"", b"'", b'"', b":", b",", b"(", b"{", b"}", b"\n", b"@", b"\x00", b"\xff", b"9"])
        )
        data[place : place + draw(st.integers(0, 12))] = piece
    return suffix, bytes(data)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=damaged())
def test_damage_is_told_or_does_no_harm(file, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    suffix, data = file
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    try:
        table = pq.read_table(parquet_of(path, Reading()))
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error) and "Traceback" not in str(error)
        return
    assert 0 < table.num_rows < 20


ROWS = b"id,V1,V2,V3\na,1,2,3\nb,,4,\nc,5,,6\n"
COLUMNS = b"t,A,B\n0,1,2\n1,,3\n2,4,5\n3,6,7\n"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=st.sampled_from([("rows", ROWS), ("columns", COLUMNS), (None, COLUMNS)]),
    places=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), min_size=1, max_size=3),
    pieces=st.lists(
        st.sampled_from([b"", b'"', b",", b";", b"\n", b"\x00", b"\xff", b"x", b"9"]), min_size=3, max_size=3
    ),
)
def test_damaged_wide_tables_and_folders(case, places, pieces, tmp_path, tmp_path_factory, monkeypatch):
    from keras_seq.config import DataConfig
    from keras_seq.data.reading.batches import row_bound
    from keras_seq.data.reading.settle import settle_table

    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path_factory.getbasetemp() / "stores"))
    shape, text = case
    data = bytearray(text)
    for (place, length), piece in zip(places, pieces, strict=False):
        data[place : place + length] = piece
    folder = tmp_path / "runs"
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_bytes(text)
    (folder / "b.csv").write_bytes(bytes(data))
    path = folder if shape is None else folder / "b.csv"
    try:
        facts = settle_table(path, DataConfig(source="table", path=str(path), wide=shape or False))
        rows = row_bound(path, facts.reading)
    except KerasSeqError as error:
        assert "\n" not in str(error) and "b.csv" in str(error)
        return
    lines = [line for line in bytes(data).replace(b"\r", b"\n").split(b"\n") if line.strip(b" ,;")]
    assert rows <= 3 * len(lines) if shape else rows <= 4 + len(lines)
