"""ARFF files: kinds of attributes, quotes, sparse rows, cases in a relational attribute; the real ones."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.home import data_home
from keras_seq.data.sources import load_series
from keras_seq.errors import DataError

FLAT = """% a comment
@RELATION pumps

@ATTRIBUTE 'flow rate' NUMERIC
@attribute load real
@attribute note string
@attribute state {good, 'worn out'}
@DATA
1.5, 2, 'it, so', good
"""


def load(path, text=None, **options):
    if text is not None:
        path.write_text(text)
    return load_series(DataConfig(source="table", path=str(path), impute="forward", **options))


def real(*names):
    path = data_home().joinpath(*names)
    if not path.is_file():
        pytest.skip(f"{names[0]} is not in the data home")
    return path


def test_a_flat_table_with_quotes_and_missing_values(tmp_path):
    text = FLAT.replace("'it, so'", "'it\\'s, so'") + "?,3,note,'worn out'\n{0 7, 3 'worn out'}\n"
    series = load(tmp_path / "a b.arff", text, features=("flow rate", "load"))
    assert series.schema.task == "binary" and series.schema.targets == ("state",)
    np.testing.assert_array_equal(series.values, [[1.5, 2], [np.nan, 3], [7, 0]])
    assert [series.schema.classes[int(label)] for label in series.targets[:, 0]] == ["good", "worn out", "worn out"]


def test_steps_of_cases_as_lines_of_named_channels(tmp_path):
    text = (
        "@relation r\n@attribute id string\n@attribute run relational\n  @attribute x numeric\n  @attribute y numeric\n"
        "@end run\n@attribute class {a,b,c}\n@data\nn1,'1,2\\n3,4\\n5,?',c\nn2,\"6,7\",a\n"
    )
    series = load(tmp_path / "a.arff", text)
    assert series.schema.features == ("x", "y") and series.lengths.tolist() == [3, 1]
    np.testing.assert_array_equal(series.unit_values(0), [[1, 2], [3, 4], [5, np.nan]])
    assert series.schema.classes == ("a", "b", "c") and series.targets[:, 0].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FLAT + "1,2,a\n", "Line 10 of .* has 3 values, the header names 4"),
        (FLAT + "1,x,a,good\n", "Line 10 of .*attribute 'load', value 1: expected a number, got 'x'"),
        (FLAT + "1,2,a,bad\n", "attribute 'state' is 'bad', but the header lets it be good, worn out"),
        (FLAT + "1,2,'a,good\n", "a quote that is not closed"),
        (FLAT + "{0 1, 9 2}\n", "no sparse row"),
        (FLAT.partition("1.5")[0], "no rows after @data"),
        ("a,b\n1,2\n", "not an ARFF file"),
    ],
)
def test_refusals(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.arff", text)


def test_eeg_is_one_series_with_a_class_at_each_step():
    path = real("eeg_eye_state", "EEG Eye State.arff")
    series = load(path)
    rows = [line.split(",") for line in path.read_text().partition("@DATA\n")[2].split("\n") if line.strip()]
    assert series.values.shape == (len(rows), 14) and series.schema.task == "binary"
    np.testing.assert_array_equal(series.values[:, 3], np.array([row[3] for row in rows], np.float32))
    np.testing.assert_array_equal(series.targets[:, 0], np.array([row[-1] for row in rows], np.float32))
    assert series.schema.classes == ("0", "1")


def test_basic_motions_is_the_same_from_arff_and_ts():
    arff, ts = (load(real("basic_motions", f"BasicMotions_TRAIN.{suffix}")) for suffix in ("arff", "ts"))
    np.testing.assert_array_equal(arff.values, ts.values)
    np.testing.assert_array_equal(arff.offsets, ts.offsets)
    labels = [[series.schema.classes[int(one)] for one in series.targets[:, 0]] for series in (arff, ts)]
    assert labels[0] == labels[1] and arff.schema.features == ts.schema.features
