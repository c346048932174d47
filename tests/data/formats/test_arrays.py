"""Arrays of NumPy as tables: cases, labels, lengths and parts; pickles are never opened."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq.config import DataConfig, SplitConfig, WindowsConfig
from keras_seq.data.home import data_home
from keras_seq.data.prepare import prepare
from keras_seq.data.sources import load_series
from keras_seq.errors import ConfigError, DataError


def load(path, **options):
    return load_series(DataConfig(source="table", path=str(path), **options))


def test_cases_with_labels_and_lengths(tmp_path):
    values = np.arange(24.0).reshape(4, 3, 2)
    np.savez(tmp_path / "a.npz", X=values, y=np.array(["up", "down", "up", "flat"]), lengths=np.array([3, 1, 2, 3]))
    series = load(tmp_path / "a.npz")
    assert series.schema.task == "multiclass"
    assert series.lengths.tolist() == [3, 1, 2, 3] and series.schema.features == ("channel_1", "channel_2")
    np.testing.assert_array_equal(series.unit_values(2), values[2, :2])
    labels = [series.schema.classes[int(label)] for label in series.targets[:, 0]]
    assert labels == ["up", "down", "up", "flat"] and series.schema.target_per == "unit"


def test_broken_numbers_are_a_regression(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.random.rand(5, 4), y=np.linspace(0.5, 2.5, 5) + 0.01)
    series = load(tmp_path / "a.npz")
    assert series.schema.task == "regression" and series.n_units == 5


def test_one_series_of_a_plain_file(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(60).reshape(30, 2))
    series = load(tmp_path / "a.npy", task="forecast", windows=WindowsConfig(mode="sliding", length=4, horizon=1))
    assert series.values.shape == (30, 2) and series.n_units == 1


def test_train_and_test_arrays_are_the_official_parts(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"{stem}_{part}": size for part in ("train", "test") for stem, size in (("X", (9, 5, 1)), ("y", 9))}
    np.savez(
        tmp_path / "a.npz",
        **{n: rng.normal(size=s) if n[0] == "X" else rng.permutation(np.arange(9) % 3) for n, s in arrays.items()},
    )
    config = DataConfig(
        source="table",
        path=str(tmp_path / "a.npz"),
        part="part",
        split=SplitConfig(by="official", validation=0.3),
        windows=WindowsConfig(length=5),
    )
    prepared = prepare(config)
    units = {name: len(part) for name, part in prepared.splits.items()}
    assert units["test"] == 9 and units["train"] + units["validation"] == 9


def test_a_part_needs_an_official_split_and_known_words(tmp_path):
    with pytest.raises(ConfigError, match="official"):
        from keras_seq import config

        config.from_dict({"data": {"source": "table", "path": "a.csv", "part": "set"}})
    rows = "".join(
        f"{unit},{part},{number},1\n" for unit, part in (("a", "train"), ("b", "hold out")) for number in range(9)
    )
    (tmp_path / "a.csv").write_text("id,set,x,y\n" + rows)
    with pytest.raises(DataError, match="holds 'hold out'; a unit is 'train', 'validation' or 'test'"):
        load(
            tmp_path / "a.csv", unit="id", part="set", targets=("y",), features=("x",), split=SplitConfig(by="official")
        )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros((2, 3, 1)), "b": np.zeros(2)}, "several arrays and none called X"),
        ({"X": np.zeros((2, 3, 1)), "y": np.zeros(3)}, "labels .* shape \\(3,\\), but there are 2 cases"),
        ({"X": np.zeros((2, 3, 1)), "lengths": np.array([1, 9])}, "lengths .* run from 1 to 9; 1 to 3 fit"),
        ({"X": np.array([["a", "b"]])}, "numbers of shape"),
        ({"X": np.array([{"a": 1}], object)}, "pickled Python objects, which are never opened"),
    ],
)
def test_refusals(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.npz")


def test_trace_is_read_as_it_lies_there():
    path = data_home() / "trace_npz" / "Trace.npz"
    if not path.is_file():
        pytest.skip("trace_npz is not in the data home")
    series = load(path, part="part", split=SplitConfig(by="official"))
    assert series.n_units == 200 and (series.official == "test").sum() == 100
    assert series.schema.classes == ("1", "2", "3", "4") and set(series.lengths.tolist()) == {275}
