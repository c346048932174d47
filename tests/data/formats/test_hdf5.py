"""HDF5 as tables: columns of a group, records, matrices with names, cases, netCDF's conventions; no pickles."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from keras_seq.config import DataConfig
from keras_seq.data.reading.settle import settle_table
from keras_seq.errors import DataError


@pytest.fixture
def file(tmp_path):
    """A function that writes data sets, or groups of them, with attributes in pairs."""

    def write(content, name="a.h5"):
        with h5py.File(tmp_path / name, "w") as target:
            for key, value in content.items():
                values, attributes = value if isinstance(value, tuple) else (value, {})
                target.create_dataset(key, data=values).attrs.update(attributes)
        return tmp_path / name

    return write


def facts(path, **options):
    return settle_table(path, DataConfig(source="table", path=str(path), **options))


def test_columns_of_a_group(same, frame, file):
    columns = {name: frame[name].to_numpy() for name in ("load", "on", "count")}
    columns["pump"] = frame["pump"].tolist()
    columns["when"] = frame["when"].dt.strftime("%Y-%m-%d %H:%M:%S").tolist()
    same(file({f"plant/{name}": values for name, values in columns.items()} | {"note": np.zeros(2)}))


def test_a_table_of_records(same, frame, file):
    records = frame.assign(
        when=frame["when"].dt.strftime("%Y-%m-%d %H:%M:%S").astype("S19"), pump=frame["pump"].astype("S1")
    ).to_records(index=False, column_dtypes={"when": "S19", "pump": "S1"})
    same(file({"table": records}))


def test_a_matrix_with_names(file, load):
    path = file({"m": (np.arange(24.0).reshape(12, 2), {"columns": ["a", "b"]}), "other": np.zeros((3, 3, 3))})
    series = load(path, dataset="m", targets=("b",))
    assert series.schema.features == ("a",) and series.values[:3, 0].tolist() == [0, 2, 4]


def test_groups_of_equal_columns_are_units(file, load):
    path = file({f"run_{i}/{name}": np.arange(10.0 + i) for i in (1, 2) for name in ("x", "y")})
    series = load(path, targets=("y",))
    assert series.unit_ids.tolist() == ["run_1", "run_2"] and series.lengths.tolist() == [11, 12]


def test_cases_with_labels(file, load):
    path = file({"X": np.arange(24.0).reshape(4, 3, 2), "y": np.array([0, 1, 0, 1]), "lengths": np.array([3, 2, 3, 1])})
    series = load(path)
    assert series.schema.task == "binary" and series.lengths.tolist() == [3, 2, 3, 1]


def test_netcdf_means_dates_gaps_and_scales(file, load):
    since = {"units": "hours since 2024-01-01 00:00:00"}
    packed = {"_FillValue": np.array([-99], np.int16), "scale_factor": 0.1, "add_offset": 20.0}
    heat = np.arange(12, dtype=np.int16)
    heat[3] = -99
    content = {"time": (np.arange(12), since), "heat": (heat, packed), "y": np.arange(12.0)}
    series = load(file(content, "a.nc"), time="time", targets=("y",))
    assert series.time[1] == np.datetime64("2024-01-01T01")
    assert np.isnan(series.values[3, 0]) and series.values[2, 0] == pytest.approx(20.2)


def test_what_pandas_pickled_is_refused(file):
    path = file({"data/block0_values": np.zeros((4, 2)), "data/axis1": np.arange(4)})
    with h5py.File(path, "a") as target:
        target["data"].attrs["pandas_type"] = "frame"
    with pytest.raises(DataError, match="pickles are never opened"):
        facts(path)


def test_several_and_none_named(file):
    with pytest.raises(DataError, match=r"several arrays and none called X: a \(2, 3, 4\), b \(5, 3, 4\)"):
        facts(file({"a": np.zeros((2, 3, 4)), "b": np.zeros((5, 3, 4))}))
    with pytest.raises(DataError, match="no array 'c'"):
        facts(file({"a": np.zeros((2, 3, 4)), "b": np.zeros((5, 3, 4))}), dataset="c")
