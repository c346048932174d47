"""A file of a library's format, damaged at random places: one paragraph, or a table."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from keras_seq.data.formats.converted import is_text, parquet_of
from keras_seq.data.reading import Reading
from keras_seq.errors import DataError

EXAMPLES = int(os.environ.get("KERAS_SEQ_DAMAGED", "5"))  # of each kind; more by hand
FILES = Path(__file__).parent / "files"
NAMES = ("a.h5", "a.mat", "a.npz", "a.xlsx", "a.json", "a.feather", "a.dta", "small.xls", "small.ods")


def write(frame, folder):
    """The table in a file of each kind, by name."""
    numbers = frame[["load", "count"]]
    with h5py.File(folder / "a.h5", "w") as file:
        for name in numbers:
            file[name] = numbers[name]
    savemat(folder / "a.mat", {name: numbers[name].to_numpy() for name in numbers}, do_compression=True)
    np.savez(folder / "a.npz", X=np.zeros((4, 10, 2)), y=np.arange(4))
    frame.to_excel(folder / "a.xlsx", index=False)
    frame.to_json(folder / "a.json", orient="records")
    frame.to_feather(folder / "a.feather")
    frame.astype({"on": "int8"}).to_stata(folder / "a.dta", write_index=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_damage(frame, tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("whole")
    write(frame, folder)
    whole = (FILES / name if name.startswith("small") else folder / name).read_bytes()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12), st.floats(0, 3))
    def damage(places, cut):
        data = bytearray(whole)
        for share, byte in places:
            data[min(int(share * len(data)), len(data) - 1)] = byte
        data = data[: max(1, int(cut * len(data)))] if cut < 1 else data
        path = folder / f"{zlib.crc32(data)}{Path(name).suffix}"
        path.write_bytes(data)
        if is_text(path):
            return  # its kind is gone: the reader of CSV tells what it is not
        try:
            table = pd.read_parquet(parquet_of(path, Reading()))
        except DataError as error:
            assert "\n" not in str(error) and str(path) in str(error)
        else:
            assert len(table.columns)

    damage()
