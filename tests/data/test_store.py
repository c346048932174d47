from __future__ import annotations

import dataclasses
import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.data import stream
from keras_seq.data.pipeline import make_dataset, steps_per_epoch
from keras_seq.data.prepare import prepare
from keras_seq.data.store.cache import stored_series
from keras_seq.data.store.series import StoredArray, is_stored
from keras_seq.data.windows import WindowRuns
from keras_seq.errors import ConfigError, DataError
from tests.factories.series import data_config


@pytest.fixture
def stores(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    return tmp_path / "stores"


def table(units=12, seed=0, label=None):
    """Rows by unit and time; feature x1 is the row number."""
    rng = np.random.default_rng(seed)
    frames = []
    for unit in range(units):
        n = int(rng.integers(30, 90))
        frame = pd.DataFrame({"engine": f"e{unit}", "cycle": np.arange(n), "x0": rng.normal(5, 2, n)})
        frame["y"] = rng.normal(size=n) if label is None else label(unit)
        frames.append(frame)
    joined = pd.concat(frames, ignore_index=True)
    joined.insert(2, "x1", np.arange(len(joined), dtype=np.float64))
    return joined


def config_of(path, **sections):
    fields = {"source": "table", "path": str(path), "unit": "engine", "time": "cycle", "targets": ["y"], "cache": False}
    return data_config(**(fields | sections))


def written(frame, folder, kind="csv"):
    path = folder / f"table.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    return path


SLIDING = {"windows": {"mode": "sliding", "length": 16}}
KINDS = {
    "sliding": ({}, SLIDING),
    "whole, per step": ({}, {"windows": {"mode": "whole", "per_step": True}, "bucket": 10}),
    "whole, cut": ({}, {"windows": {"mode": "whole", "length": 60}, "scale": "robust"}),
    "forecast": (
        {},
        {"task": "forecast", "targets": ["x0"], "windows": {"mode": "sliding", "length": 8, "horizon": 3}},
    ),
    "time": ({}, SLIDING | {"split": {"by": "time"}, "target_cap": 0.5}),
    "binary": ({"label": lambda u: "good" if u % 2 else "bad"}, {"split": {"by": "stratified"}}),
    "0 and 1, guessed": ({"label": lambda u: float(u % 3 > 0)}, {"split": {"by": "stratified"}}),
    "multiclass": ({"label": lambda u: [3, 1, 7][u % 3]}, {"task": "multiclass", "split": {"by": "stratified"}}),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_store_gives_what_memory_gives(name, kind, tmp_path, stores, monkeypatch):
    monkeypatch.setattr("keras_seq.data.store.writer.CHUNK_BYTES", 1600)
    monkeypatch.setattr(stream, "BLOCK_ROWS", 120)  # many blocks
    given_, sections = KINDS[name]
    path = written(table(units=24, **given_), tmp_path, kind)
    kept = prepare(config_of(path, **(sections | {"cache": True})))
    config = config_of(path, **sections)
    disk = prepare(config)
    assert is_stored(disk.series) and not is_stored(kept.series)
    assert disk.series.schema == kept.series.schema
    assert disk.splits.fingerprint == kept.splits.fingerprint
    np.testing.assert_allclose(disk.spec.scaling.center, kept.spec.scaling.center, rtol=1e-9)
    fitted = {"scaling": kept.spec.scaling, "target_mean": kept.spec.target_mean, "target_std": kept.spec.target_std}
    assert disk.spec.model_copy(update=fitted) == kept.spec
    np.testing.assert_allclose(disk.spec.target_std, kept.spec.target_std, rtol=1e-6)
    same_but_for_rounding(disk.statistics(), kept.statistics())
    for part in ("train", "validation", "test"):
        one, other = (
            make_dataset(p.series, p.index[part], p.spec, config, batch_size=16, training=False) for p in (disk, kept)
        )
        assert one.element_spec[0]["values"].shape.rank == 3
        for found, expected in itertools.zip_longest(one.as_numpy_iterator(), other.as_numpy_iterator()):
            for a, b in zip(flat(found), flat(expected), strict=True):
                np.testing.assert_array_equal(a, b)
                assert a.dtype == b.dtype


def same_but_for_rounding(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            same_but_for_rounding(one[name], other[name])
    else:
        assert one == pytest.approx(other, rel=1e-9)


def flat(batch):
    inputs, targets, weights = batch
    return [*inputs.values(), targets, weights]


def test_training_sees_every_window_once_an_epoch_in_an_order_by_seed_and_epoch(tmp_path, stores, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK_ROWS", 100)
    path = written(table(), tmp_path)
    config = config_of(path, **SLIDING)
    prepared = prepare(config)
    index = prepared.index["train"]
    assert isinstance(index, WindowRuns)
    steps = steps_per_epoch(index, 8)

    def rows(count, **kwargs):
        dataset = make_dataset(prepared.series, index, prepared.spec, config, batch_size=8, training=True, **kwargs)
        taken = itertools.islice(dataset.as_numpy_iterator(), count * steps)
        return [inputs["values"][:, -1, 0].astype(int).tolist() for inputs, _, _ in taken]

    found = rows(3)
    epochs = [list(itertools.chain(*found[e * steps : (e + 1) * steps])) for e in range(3)]
    ends = set((index.start + index.length - 1).tolist())
    for epoch in epochs:
        assert len(epoch) == len(set(epoch)) == steps * 8 and set(epoch) <= ends
    assert epochs[0] != epochs[1]
    assert found == rows(3) != rows(3, seed=1)
    assert found[2 * steps :] == rows(1, first_epoch=2)
    spread = np.std(np.array(found[0]))
    assert spread > 100  # a batch mixes blocks


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 60), columns=st.sampled_from([None, 1, 3]), data=st.data())
def test_stored_arrays_index_as_arrays_do(rows, columns, data):
    shape = (rows,) if columns is None else (rows, columns)
    array = np.random.default_rng(rows).normal(size=shape).astype("<f4")

    def fill(low, result):
        result[:] = array[low : low + len(result)]

    stored = StoredArray(rows, shape[1:], "<f4", fill)
    assert (stored.shape, len(stored), stored.size, stored.ndim) == (shape, rows, array.size, array.ndim)
    limits = st.integers(-rows, rows)
    part = slice(data.draw(limits), data.draw(limits), data.draw(st.sampled_from([None, 1, 2, -1])))
    numbers = np.array(data.draw(st.lists(st.integers(-rows, rows - 1), max_size=9)), np.int64)
    for key in (part, numbers, numbers.reshape(-1, 1), array.reshape(rows, -1)[:, 0] > 0, int(numbers.sum()) % rows):
        np.testing.assert_array_equal(stored[key], array[key])
        if columns:
            np.testing.assert_array_equal(stored[key, 0], array[key, 0])
    np.testing.assert_array_equal(np.asarray(stored), array)
    with pytest.raises(IndexError):
        stored[np.array([rows])]


def test_a_store_is_made_once_and_again_when_the_file_changes(tmp_path, stores):
    path = written(table(), tmp_path)
    config = config_of(path, **SLIDING)
    first = stored_series(config)
    (folder,) = stores.iterdir()
    stamp = (folder / "shard-00000.arrow").stat().st_mtime_ns
    assert stored_series(config).fingerprint() == first.fingerprint()
    assert (folder / "shard-00000.arrow").stat().st_mtime_ns == stamp
    written(table(seed=1), tmp_path)
    os.utime(path, (time.time() + 5, time.time() + 5))
    assert stored_series(config).fingerprint() != first.fingerprint()
    assert len(list(stores.iterdir())) == 2


def test_a_store_is_a_folder_of_shards(tmp_path, stores):
    kept = prepare(config_of(written(table(), tmp_path), **SLIDING))
    (folder,) = stores.iterdir()
    moved = folder.rename(tmp_path / "moved")
    config = data_config(source="shards", path=str(moved), **SLIDING)
    assert prepare(config).series.content() == kept.series.content()
    with pytest.raises(ConfigError, match=r"data\.unit='pump' does not fit the shards"):
        prepare(config.model_copy(update={"unit": "pump"}))


def keep_date(path, write):
    """Change a file as ``cp -p`` does: its size and date stay."""
    before = path.stat()
    write()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_changed_in_a_file_of_the_same_size_and_date_are_read_anew(kind, tmp_path, stores):
    frame = table()
    frame["x0"] = np.where(np.arange(len(frame)) % 2, 1.25, 2.25)
    path = written(frame, tmp_path, kind)
    config = config_of(path, **SLIDING)
    first = stored_series(config).values[:2, 1].tolist()
    frame["x0"] = 3.5 - frame["x0"]  # the two values change places
    keep_date(path, lambda: written(frame, tmp_path, kind))
    assert stored_series(config).values[:2, 1].tolist() == first[::-1]


def test_a_file_that_was_only_touched_keeps_its_store(tmp_path, stores):
    path = written(table(), tmp_path)
    stored_series(config_of(path, **SLIDING))
    os.utime(path, (1, 1))
    stored_series(config_of(path, **SLIDING))
    assert len(list(stores.iterdir())) == 1


def test_options_of_reading_make_another_store_and_those_of_training_do_not(tmp_path, stores):
    frame = table(label=lambda u: "good" if u % 2 else "bad")
    frame.loc[::10, "x0"] = -999.0
    path = written(frame, tmp_path)
    base = SLIDING | {"impute": "forward"}
    first = stored_series(config_of(path, **base))
    coded = stored_series(config_of(path, **base, missing_codes=[-999]))
    assert np.nanmin(first.values[:, 1]) == -999 and np.nanmin(coded.values[:, 1]) > -999
    for positive in ("good", "bad"):
        assert stored_series(config_of(path, **base, positive=positive)).schema.classes[1] == positive
    count = len(list(stores.iterdir()))
    stored_series(config_of(path, **base, scale="robust", bucket=7, shuffle=False, split={"seed": 5}))
    assert len(list(stores.iterdir())) == count


def test_a_schema_changed_in_a_file_of_the_same_size_and_date_counts(tmp_path, stores):
    path, schema = written(table(), tmp_path), tmp_path / "schema.yaml"
    schema.write_text("target_unit: kg")
    config = config_of(path, schema_file=str(schema), **SLIDING)
    assert stored_series(config).schema.target_unit == "kg"
    keep_date(schema, lambda: schema.write_text("target_unit: mg"))
    assert stored_series(config).schema.target_unit == "mg"


@pytest.mark.parametrize("lengths", [{}, {"windows": {"mode": "whole", "length": 60}, "bucket": 10}])
def test_without_shuffle_every_window_of_a_store_weighs_once_in_order(lengths, tmp_path, stores, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK_ROWS", 100)
    config = config_of(written(table(), tmp_path), **(SLIDING | lengths), shuffle=False)
    prepared = prepare(config)
    index = prepared.index["train"]
    steps = steps_per_epoch(index, 7, shuffle=False)
    dataset = make_dataset(prepared.series, index, prepared.spec, config, batch_size=7, training=True)
    for _ in range(2):
        seen = []
        for inputs, _, weights in itertools.islice(dataset.as_numpy_iterator(), steps):
            length = inputs.get("lengths", np.full(len(weights), inputs["values"].shape[1]))
            seen += inputs["values"][np.arange(7), length - 1, 0].astype(int)[weights > 0].tolist()
        assert seen == (index.start + index.length - 1).tolist()


def test_a_store_is_checked_as_a_series_in_memory_is(tmp_path, stores):
    frame = table()
    frame["copy"] = frame["y"] * 3
    frame["level"] = 1e9 + frame["x0"]
    frame.loc[::11, "x0"] = -999
    frame.loc[::13, "y"] = np.nan
    path = written(frame, tmp_path)
    for cache in (True, False):
        told = {f.rule: str(f) for f in prepare(config_of(path, cache=cache, **SLIDING)).quality.warnings}
        assert "data.missing_codes: [-999]" in told["missing code"]
        assert "column 'copy'" in told["companion"] and "column 'level'" in told["float32"]
        assert "missing in 7.8% of the rows" in told["target"]


def swap_units(frame):
    return pd.concat([frame[frame.engine != "e3"], frame[frame.engine == "e3"], frame[frame.engine == "e5"]])


def swap_time(frame):
    frame.loc[frame.index[5:7], "cycle"] = [6, 5]
    return frame


def double_time(frame):
    frame.loc[100, "cycle"] = frame.loc[99, "cycle"]
    return frame


def gap(frame):
    frame.loc[40, "x0"] = np.nan
    return frame


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (swap_units, r"unit 'e5' .* not together .*sorted by unit, then time"),
        (swap_time, r"Time does not rise in unit 'e0'.*data row 7"),
        (double_time, r"Time does not rise"),
        (gap, r"x0"),
    ],
)
def test_rows_that_cannot_be_streamed_are_refused_and_leave_nothing(break_it, message, tmp_path, stores):
    path = written(break_it(table()), tmp_path)
    with pytest.raises(DataError, match=message):
        prepare(config_of(path, **SLIDING))
    assert not stores.exists() or not list(stores.iterdir())


def test_a_store_half_written_is_never_read(tmp_path, stores, monkeypatch):
    config = config_of(written(table(), tmp_path), **SLIDING)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("keras_seq.data.store.cache.finish", interrupt)
        stored_series(config)
    assert not list(stores.iterdir())
    assert len(stored_series(config).values) == len(table())


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_broken_store_is_refused(tmp_path, stores):
    config = config_of(written(table(), tmp_path), **SLIDING)
    stored_series(config)
    (folder,) = stores.iterdir()
    with open(folder / "shard-00000.arrow", "ab") as file:
        file.write(b"\0" * 64)
    with pytest.raises(DataError, match=r"is longer than it was: .* Remove '.*'; it is made anew"):
        stored_series(config)


def test_oversampling_needs_the_series_in_memory(tmp_path, stores):
    path = written(table(label=lambda u: u % 2), tmp_path)
    config = config_of(path, balance="oversample", split={"by": "stratified", "validation": 2, "test": 2})
    prepared = prepare(config)
    with pytest.raises(ConfigError, match=r"oversample.*cache=true"):
        make_dataset(prepared.series, prepared.index["train"], prepared.spec, config, batch_size=4, training=True)


def test_missing_files_are_named(stores):
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        prepare(config_of(Path("nowhere.csv"), **SLIDING))


def test_a_stored_series_can_be_looked_at_like_one_in_memory(tmp_path, stores):
    path = written(table(), tmp_path)
    disk = stored_series(config_of(path, **SLIDING))
    kept = prepare(config_of(path, cache=True, **SLIDING)).series
    np.testing.assert_array_equal(disk.unit_values(3), kept.unit_values(3))
    np.testing.assert_array_equal(disk.unit_labels(), kept.unit_labels())
    np.testing.assert_array_equal(disk.time[10:50], kept.time[10:50])
    whole = dataclasses.replace(kept, values=np.asarray(disk.values), targets=np.asarray(disk.targets))
    assert whole.fingerprint() == kept.fingerprint()


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_ten_times_the_file_takes_no_more_memory(kind):
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, root / "scripts/bench_windows.py", "memory", "--kind", kind, "--steps", "300"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    streamed = float(re.findall(r"ten times the file: ([+-][\d.]+)%", done.stdout)[0])
    assert streamed < 10, done.stdout


def test_a_block_of_distant_units_reads_no_rows_between_them(stores, tmp_path):
    """Validation windows of units 1 and 40 do not bring the rows of those between; every window is as in memory."""
    frame = table(units=60)
    path = written(pd.concat([frame] * 1), tmp_path)
    split = {"split": {"by": "unit", "validation": 6, "test": 6, "seed": 3}, **SLIDING}
    stored, held = prepare(config_of(path, **split)), prepare(config_of(path, cache=True, **split))
    index = stored.index["validation"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "GAP", 0)
        reader = stream.BlockReader(stored.series, index, stored.spec, config_of(path, **split), 32)
        rows = sum(len(rows.values) for rows, _ in reader.in_order())
        batches = make_dataset(
            stored.series, index, stored.spec, config_of(path, **split), batch_size=32, training=False
        )
        found = np.concatenate([inputs["values"].numpy() for inputs, *_ in batches])
    own = int(stored.series.lengths[stored.splits.validation.units].sum())
    assert rows <= own + 16 * reader.blocks
    expected = make_dataset(
        held.series, held.index["validation"], held.spec, config_of(path, cache=True, **split), batch_size=32,
        training=False,
    )  # fmt: skip
    np.testing.assert_array_equal(found, np.concatenate([inputs["values"].numpy() for inputs, *_ in expected]))
