"""MATLAB files as tables: matrices, structs, texts, cells of ragged matrices, in both versions."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from keras_seq.config import SplitConfig
from keras_seq.data.home import data_home


def columns_of(frame):
    columns = {name: frame[name].to_numpy()[:, None] for name in ("load", "on", "count")}
    columns["pump"] = np.array(frame["pump"].tolist(), object)[:, None]
    columns["when"] = np.array(frame["when"].dt.strftime("%Y-%m-%d %H:%M:%S").tolist(), object)[:, None]
    return columns


@pytest.mark.parametrize("as_struct", [False, True])
def test_columns_of_version_5(same, frame, tmp_path, as_struct):
    columns = columns_of(frame)
    savemat(tmp_path / "a.mat", {"plant": columns} if as_struct else columns)
    if as_struct:
        from keras_seq.data.formats.matlab import read_variables

        assert list(read_variables(tmp_path / "a.mat")) == [f"plant.{name}" for name in columns]
    else:
        same(tmp_path / "a.mat")


def write_73(path, content):
    """What MATLAB 7.3 writes: HDF5 with its head, matrices turned round, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            if isinstance(value, list):
                cells = [file.create_dataset(f"#refs#/{name}{i}", data=cell.T) for i, cell in enumerate(value)]
                references = np.array([[cell.ref] for cell in cells], h5py.ref_dtype)
                file.create_dataset(name, data=references)
            else:
                file.create_dataset(name, data=value.T)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


@pytest.mark.parametrize("version", [5, 7.3])
def test_cells_of_matrices_are_cases_with_labels(tmp_path, load, version):
    cells = [np.arange(2 * n, dtype=float).reshape(2, n) for n in (3, 5, 4, 6)]  # two channels of n steps
    labels = np.array([[1.0], [2.0], [3.0], [1.0]])
    if version == 5:
        array = np.empty((1, 4), object)
        array[0, :] = cells
        savemat(tmp_path / "a.mat", {"X": array, "labels": labels})
    else:
        write_73(tmp_path / "a.mat", {"X": cells, "labels": labels})
    series = load(tmp_path / "a.mat")
    assert series.lengths.tolist() == [3, 5, 4, 6] and series.schema.classes == ("1", "2", "3")
    np.testing.assert_array_equal(series.unit_values(1), cells[1].T)


def test_a_matrix_of_version_73_is_turned_back(tmp_path, load):
    write_73(tmp_path / "a.mat", {"data": np.arange(24.0).reshape(12, 2)})
    assert load(tmp_path / "a.mat", targets=("channel_2",)).values[:, 0].tolist() == list(range(0, 24, 2))


def test_wafer_is_read_as_its_own_source_reads_it(load):
    path = data_home() / "wafer_mts" / "Wafer.mat"
    if not path.is_file():
        pytest.skip("wafer_mts is not in the data home")
    from keras_seq.config import DataConfig
    from keras_seq.data.sources import load_series

    series = load(path, part="part", split=SplitConfig(by="official"))
    known = load_series(DataConfig(source="wafer"))
    np.testing.assert_array_equal(series.values, known.values)
    np.testing.assert_array_equal(series.offsets, known.offsets)
    np.testing.assert_array_equal(series.official, known.official)
    assert series.schema.classes == ("2", "1")  # the rarer one is positive
    np.testing.assert_array_equal(series.targets, known.targets)
