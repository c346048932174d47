from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_seq.data import stream
from keras_seq.data.pipeline import make_dataset, steps_per_epoch
from keras_seq.data.prepare import prepare
from keras_seq.data.running_stats import Moments
from keras_seq.data.scaling import fit_spec, known_moments
from keras_seq.data.store.command import parse_size
from keras_seq.data.store.export import export_shards
from keras_seq.data.store.folder import open_store, verify
from keras_seq.data.store.run import write_shards
from keras_seq.data.windows import WindowRuns
from keras_seq.errors import ConfigError, DataError, OutputError
from tests.data.test_store import KINDS, flat, same_but_for_rounding, table
from tests.factories.series import data_config
from tests.factories.tiers import tiers

SMALL = 1500  # bytes of a shard: some hundred rows


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Stamps of checked shards below the test's own folder; pieces and blocks of a few rows."""
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    monkeypatch.setattr("keras_seq.data.store.writer.PIECE_BYTES", 300)
    monkeypatch.setattr(stream, "BLOCK_ROWS", 120)


def table_config(path, **sections):
    fields = {"source": "table", "path": str(path), "unit": "engine", "time": "cycle", "targets": ["y"]}
    return data_config(**(fields | sections))


def shards_config(folder, **sections):
    return data_config(source="shards", path=str(folder), **sections)


def of_shards(sections):
    """The sections that remain a question of training once the shards are written."""
    return {name: value for name, value in sections.items() if name not in ("task", "targets")}


def written(frame, path):
    path.parent.mkdir(exist_ok=True, parents=True)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path, row_group_size=97)
    return path


def archive(frame, folder, kind="csv", cut=(0, 300, 700, None)):
    """The table as several files; units go on from one to the next."""
    for number, (low, high) in enumerate(itertools.pairwise(cut)):
        written(frame.iloc[low:high], folder / f"part-{number}.{kind}")
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    tiers(
        list(itertools.product(KINDS, ("csv", "parquet"))), quick=list(zip(KINDS, itertools.cycle(("csv", "parquet"))))
    ),
)
def test_shards_give_what_memory_gives(name, kind, tmp_path):
    told, sections = KINDS[name]
    frame = table(units=24, **told)
    kept = prepare(table_config(written(frame, tmp_path / f"whole.{kind}"), **sections))
    path = archive(frame, tmp_path / "archive", kind)
    done = write_shards(table_config(path, **sections), tmp_path / "out", shard_bytes=SMALL, workers=1)
    assert done.new > 5 and done.kept == 0
    config = shards_config(tmp_path / "out", **of_shards(sections))
    disk = prepare(config)
    assert disk.series.schema.model_copy(update={"name": "whole"}) == kept.series.schema
    assert disk.splits.fingerprint == kept.splits.fingerprint
    assert disk.series.stored.manifest["split"]["fingerprint"] == kept.splits.fingerprint
    for one, other in ((disk, kept), (kept, disk)):
        for name in ("center", "scale", "fill"):
            np.testing.assert_allclose(
                getattr(one.spec.scaling, name), getattr(other.spec.scaling, name), rtol=1e-6, atol=1e-9
            )
    fitted = {"scaling": kept.spec.scaling, "target_mean": (), "target_std": ()}
    assert disk.spec.model_copy(update=fitted) == kept.spec.model_copy(update=fitted)
    np.testing.assert_allclose(disk.spec.target_std, kept.spec.target_std, rtol=1e-6)
    for part in ("train", "validation", "test"):
        one, other = (
            make_dataset(p.series, p.index[part], p.spec, config, batch_size=16, training=False) for p in (disk, kept)
        )
        for found, expected in itertools.zip_longest(one.as_numpy_iterator(), other.as_numpy_iterator()):
            for a, b in zip(flat(found), flat(expected), strict=True):
                np.testing.assert_array_equal(a, b)
                assert a.dtype == b.dtype
    np.testing.assert_array_equal(disk.series.time[5:99], kept.series.time[5:99])


def test_statistics_need_no_row_and_are_those_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_seq.data.store.rows.LEAST_PIECE", 100)  # every unit ends a piece
    frame = table(units=24)
    frame.loc[frame.index % 7 == 0, "x0"] = np.nan
    sections = {"impute": "mean", "windows": {"mode": "sliding", "length": 16}}
    kept = prepare(table_config(written(frame, tmp_path / "whole.csv"), **sections))
    write_shards(table_config(tmp_path / "whole.csv", **sections), tmp_path / "out", shard_bytes=SMALL, workers=1)
    disk = prepare(shards_config(tmp_path / "out", **sections))
    for shard in (tmp_path / "out").glob("shard-*"):
        shard.unlink()  # not even there
    same_but_for_rounding(disk.statistics(), kept.statistics())
    with pytest.raises(DataError, match=r"shard-00000\.arrow' cannot be read"):
        disk.series.values[0:1]


def test_a_source_of_the_project_keeps_official_split_and_targets_per_unit(tmp_path):
    section = {"source": "caster", "caster": {"sequences": 60, "heats": 12}, "split": {"by": "stratified"}}
    config = data_config(**section)
    kept = prepare(config)
    write_shards(config, tmp_path / "out", shard_bytes=100_000, workers=1)
    disk = prepare(shards_config(tmp_path / "out", split={"by": "stratified"}))
    assert disk.series.schema == kept.series.schema and disk.splits.fingerprint == kept.splits.fingerprint
    np.testing.assert_array_equal(disk.series.targets, kept.series.targets)
    np.testing.assert_array_equal(disk.series.values[100:900], kept.series.values[100:900])
    np.testing.assert_allclose(disk.spec.scaling.scale, kept.spec.scaling.scale, rtol=1e-9)
    assert disk.series.info == kept.series.info


def test_training_sees_every_window_once_an_epoch_also_out_of_turn(tmp_path):
    sections = {"windows": {"mode": "sliding", "length": 16}}
    path = written(table(), tmp_path / "whole.csv")
    write_shards(table_config(path, **sections), tmp_path / "out", shard_bytes=SMALL, workers=1)

    def rows(epochs, **reading):
        config = shards_config(tmp_path / "out", shards={"buffer_mb": 0.004} | reading, **sections)
        prepared = prepare(config)
        index = prepared.index["train"]
        assert isinstance(index, WindowRuns)
        steps = steps_per_epoch(index, 8)
        dataset = make_dataset(prepared.series, index, prepared.spec, config, batch_size=8, training=True)
        taken = itertools.islice(dataset.as_numpy_iterator(), epochs * steps)
        found = [inputs["values"][:, -1, 0].astype(int).tolist() for inputs, _, _ in taken]
        ends = set((index.start + index.length - 1).tolist())
        for epoch in range(epochs):
            seen = list(itertools.chain(*found[epoch * steps : (epoch + 1) * steps]))
            assert len(seen) == len(set(seen)) == steps * 8 and set(seen) <= ends
        return found

    assert rows(2) == rows(2)
    assert rows(1) != rows(1, interleave=8)
    rows(2, deterministic=False)


FLOATS = st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))


@settings(max_examples=60, deadline=None)
@given(
    rows=arrays.arrays(np.float32, st.tuples(st.integers(1, 80), st.integers(1, 3)), elements=FLOATS),
    cuts=st.lists(st.integers(0, 80), max_size=6),
    offset=st.sampled_from([0.0, 1e4]),
)
def test_merged_moments_are_those_of_numpy(rows, cuts, offset):
    exact = rows.astype(np.float64) + offset
    pieces = np.split(exact, sorted(cut for cut in cuts if cut <= len(exact)))
    tables, joined, one_by_one = [], Moments(exact.shape[1]), Moments(exact.shape[1])
    for piece in pieces:
        moments = Moments(exact.shape[1])
        moments.add(piece)
        tables.append(moments.table())
        one_by_one.merge(moments.table())
    joined.merge(np.array(tables))
    known = np.isfinite(exact)
    for found in (joined, one_by_one):
        np.testing.assert_array_equal(found.count, known.sum(axis=0))
        for j in np.flatnonzero(known.any(axis=0)):
            column = exact[known[:, j], j]
            spread = np.abs(column).max() * 1e-9
            np.testing.assert_allclose(found.mean[j], column.mean(), rtol=1e-12, atol=spread * 1e-3)
            np.testing.assert_allclose(found.std[j], column.std(), rtol=1e-6, atol=spread)
            assert (found.low[j], found.high[j]) == (column.min(), column.max())


@pytest.fixture(scope="module")
def written_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_seq.data.store.writer.PIECE_BYTES", 300)
        config = table_config(written(table(), folder / "whole.csv"))
        return write_shards(config, folder / "out", shard_bytes=SMALL, workers=1).series


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_moments_of_any_ranges_are_those_of_the_rows(written_once, data):
    series, rows = written_once, len(written_once.values)
    ranges = data.draw(st.lists(st.tuples(st.integers(0, rows), st.integers(0, rows)).map(sorted), max_size=4))
    values, targets = series.moments([tuple(one) for one in ranges])
    picked = [np.asarray(series.values)[low:high] for low, high in ranges]
    exact = np.concatenate([np.empty((0, 2)), *picked]).astype(np.float64)
    assert values.count.tolist() == targets.count.tolist() * 2 == [len(exact)] * 2
    if len(exact):
        np.testing.assert_allclose(values.mean, exact.mean(axis=0), rtol=1e-10)
        np.testing.assert_allclose(values.std, exact.std(axis=0), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_rows_are_those_of_the_table(written_once, data):
    frame = table()
    exact = frame[["x1", "x0"]].to_numpy(np.float32)
    limits = st.integers(-len(frame), len(frame))
    low, high, step = data.draw(limits), data.draw(limits), data.draw(st.sampled_from([None, 3, -1]))
    np.testing.assert_array_equal(written_once.values[low:high:step], exact[low:high:step])
    numbers = np.array(data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=9)), np.int64)
    np.testing.assert_array_equal(written_once.values[numbers], exact[numbers])
    np.testing.assert_array_equal(written_once.targets[low:high, 0], frame["y"].to_numpy(np.float32)[low:high])


@pytest.mark.parametrize("by", ["unit", "group", "time"])
def test_groups_and_times_do_not_leak(by, tmp_path):
    frame = table(units=30)
    frame["site"] = "s" + (frame["engine"].str[1:].astype(int) // 3).astype(str)
    frame = frame.sort_values(["site", "engine", "cycle"], kind="stable")
    config = table_config(written(frame, tmp_path / "t.csv"), group="site", features=["x1", "x0"], split={"by": by})
    manifest = write_shards(config, tmp_path / "out", shard_bytes=SMALL, workers=1).series.stored.manifest
    parts = manifest["split"]["parts"]
    if by == "time":
        last = dict(zip(parts["train"]["units"], parts["train"]["last"], strict=True))
        assert all(
            first >= last[unit] for unit, first in zip(parts["test"]["units"], parts["test"]["first"], strict=True)
        )
        return
    sites = [{manifest["groups"][unit] for unit in part["units"]} for part in parts.values()]
    assert sum(map(len, sites)) == len(set.union(*sites)) == 10


def test_a_split_with_another_test_part_is_refused_and_other_folds_are_not(tmp_path):
    path = written(table(units=24), tmp_path / "whole.csv")
    write_shards(table_config(path, split={"seed": 3}), tmp_path / "out", shard_bytes=SMALL, workers=1)
    stored = prepare(shards_config(tmp_path / "out", split={"seed": 3}))
    for split in ({"seed": 4}, {"seed": 3, "test": 0.4}, {"by": "time"}):
        with pytest.raises(ConfigError, match=r"other test rows than the one stored.*data.split.seed=3"):
            prepare(shards_config(tmp_path / "out", split=split))
    fold = prepare(shards_config(tmp_path / "out", split={"seed": 3, "folds": 4, "fold": 2}))
    assert set(fold.splits.test.units) == set(stored.splits.test.units)
    np.testing.assert_array_equal(fold.splits.test.first, stored.splits.test.first)
    exact = known_moments(fold.series, fold.splits.train)[0]
    rows = np.concatenate([fold.series.unit_values(u) for u in fold.splits.train.units]).astype(np.float64)
    np.testing.assert_allclose(exact.mean, rows.mean(axis=0), rtol=1e-12)
    assert fit_spec(fold.series, fold.splits, shards_config(tmp_path / "out")).scaling == fold.spec.scaling


@pytest.mark.parametrize(("options", "message"), [
    ({"features": ["x0"]}, r"data\.features=\('x0',\) does not fit the shards .* written with \('x1', 'x0'\)"),
    ({"targets": ["x0"]}, r"data\.targets=\('x0',\) does not fit"),
    ({"task": "binary"}, r"data\.task='binary' does not fit the shards"),
    ({"unit": "pump"}, r"data\.unit='pump' does not fit .* with 'engine'"),
])  # fmt: skip
def test_options_that_were_settled_are_refused(options, message, written_once):
    with pytest.raises(ConfigError, match=message):
        prepare(shards_config(written_once.stored.folder, **options))


def test_missing_values_are_not_let_in_by_the_shards(tmp_path):
    frame = table()
    frame.loc[40, "x0"] = np.nan
    path = written(frame, tmp_path / "t.csv")
    with pytest.raises(DataError, match="x0"):
        write_shards(table_config(path), tmp_path / "no", shard_bytes=SMALL, workers=1)
    with pytest.raises(DataError, match="unfinished"):
        open_store(tmp_path / "no")
    write_shards(table_config(path, impute="mean"), tmp_path / "out", shard_bytes=SMALL, workers=1)
    prepare(shards_config(tmp_path / "out", impute="mean"))
    with pytest.raises(ConfigError, match=r"data\.impute='none' does not fit the shards .*'mean'"):
        prepare(shards_config(tmp_path / "out"))


def swap_units(frame):
    return pd.concat([frame[frame.engine != "e3"], frame[frame.engine == "e3"], frame[frame.engine == "e5"]])


def swap_time(frame):
    frame.loc[frame.index[5:7], "cycle"] = [6, 5]
    return frame


def no_unit(frame):
    frame.loc[77, "engine"] = None
    return frame


@pytest.mark.parametrize(("break_it", "message"), [
    (swap_units, r"unit 'e5' .*not together.*sorted by unit, then time"),
    (swap_time, r"Time does not rise in unit 'e0'"),
    (no_unit, r"Column 'engine' of .* is empty in data row"),
])  # fmt: skip
def test_rows_that_cannot_be_streamed_are_refused(break_it, message, tmp_path):
    path = written(break_it(table()), tmp_path / "t.csv")
    with pytest.raises(DataError, match=message):
        write_shards(table_config(path), tmp_path / "out", shard_bytes=SMALL, workers=1)
    with pytest.raises(DataError, match="unfinished"):
        open_store(tmp_path / "out")


def test_time_must_rise_from_one_shard_to_the_next(tmp_path):
    frame = pd.DataFrame({"engine": "a", "cycle": [0, 1, 2, 3], "x0": 1.0, "y": 2.0})
    for number in (0, 1):
        written(frame, tmp_path / "in" / f"{number}.csv")
    with pytest.raises(
        DataError, match=r"Time does not rise in unit 'a': 0\.0 follows 3\.0, at the start of '.*1\.csv'"
    ):
        write_shards(table_config(tmp_path / "in"), tmp_path / "out", workers=1)


@pytest.mark.parametrize(("change", "message"), [
    (lambda frame: frame.drop(columns="x0"), r"1\.csv' has no column 'x0'"),
    (lambda frame: frame.assign(x0="warm"), r"Column 'x0' of '.*1\.csv' holds text, but that of '0.csv' holds numbers"),
])  # fmt: skip
def test_files_of_another_schema_are_named(change, message, tmp_path):
    written(table(), tmp_path / "in" / "0.csv")
    written(change(table()), tmp_path / "in" / "1.csv")
    with pytest.raises(DataError, match=message):
        write_shards(table_config(tmp_path / "in"), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_bad_value_is_named_by_its_line_in_the_file(tmp_path):
    frame = table().astype({"x0": object})
    frame.loc[500, "x0"] = "warm"
    path = written(frame, tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"Column 'x0' of .*t\.csv' must hold numbers, got 'warm' \(line 502\)"):
        write_shards(table_config(path), tmp_path / "out", shard_bytes=SMALL, workers=1)


def copied(series, tmp_path):
    source, target = series.stored.folder, tmp_path / "copy"
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def drop(folder):
    (folder / "shard-00002.arrow").unlink()


def shorten(folder):
    os.truncate(folder / "shard-00002.arrow", 700)


def tamper(folder):
    with open(folder / "shard-00002.arrow", "r+b") as file:
        file.seek(700)
        file.write(b"\x01\x02")


def other_index(folder):
    (folder / "index.npz").write_bytes(b"PK" + bytes(30))


def older(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 1}))


def no_manifest(folder):
    (folder / "manifest.json").unlink()


def half_manifest(folder):
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[: len(text) // 2])


@pytest.mark.parametrize(("harm", "message"), [
    (drop, r"Shard '.*shard-00002\.arrow' is missing"),
    (shorten, r"Shard '.*shard-00002\.arrow' is truncated: it has 700 bytes, the manifest says \d+"),
    (tamper, r"Shard '.*shard-00002\.arrow' has been changed: its sha256 is"),
    (other_index, r"manifest of the shards .* cannot be used \(index\.npz is not the one"),
    (older, r"its format is 1, this version reads 2 alone: write it anew"),
    (no_manifest, r"has no manifest\.json; data\.path must name a folder"),
    (half_manifest, r"The manifest of the shards in .* cannot be used"),
])  # fmt: skip
def test_a_folder_that_is_not_whole_is_refused_before_training(harm, message, written_once, tmp_path):
    folder = copied(written_once, tmp_path)
    prepare(shards_config(folder))
    harm(folder)
    with pytest.raises(DataError, match=message) as caught:
        prepare(shards_config(folder))
    assert "\n" not in str(caught.value)


def test_unchanged_shards_are_read_through_once_only(written_once, tmp_path):
    folder = copied(written_once, tmp_path)
    series = open_store(folder)
    count = len(series.stored.manifest["shards"])
    assert (verify(series), verify(series), verify(series, again=True)) == (count, 0, count)
    os.utime(folder / "shard-00001.arrow")
    assert verify(series) == 1


def test_a_finished_folder_is_kept_and_other_settings_are_refused(tmp_path):
    path = written(table(), tmp_path / "t.csv")
    config = table_config(path)
    first = write_shards(config, tmp_path / "out", shard_bytes=SMALL, workers=1)
    again = write_shards(config, tmp_path / "out", shard_bytes=SMALL, workers=1)
    assert (again.new, again.kept) == (0, first.new)
    with pytest.raises(ConfigError, match=r"written with other settings: data\.features was \[\], now \['x0'\]"):
        write_shards(table_config(path, features=["x0"]), tmp_path / "out", shard_bytes=SMALL, workers=1)
    written(table(seed=1), path)
    os.utime(path, (1, 1))
    with pytest.raises(ConfigError, match="the input files"):
        write_shards(config, tmp_path / "out", shard_bytes=SMALL, workers=1)


def test_every_option_that_shapes_rows_is_seen(tmp_path):
    path = written(table().assign(mode=np.resize(["run", "idle"], len(table()))), tmp_path / "t.csv")
    write_shards(table_config(path), tmp_path / "out", workers=1)
    write_shards(table_config(path, scale="robust", bucket=7), tmp_path / "out", workers=1)
    with pytest.raises(ConfigError, match=r"other settings: data\.missing_indicator was False, now True"):
        write_shards(table_config(path, missing_indicator=True), tmp_path / "out", workers=1)
    with pytest.raises(ConfigError, match=r"other settings: data\.categories was \[\], now \['mode'\]"):
        write_shards(table_config(path, categories=["mode"]), tmp_path / "out", workers=1)


def test_a_companion_table_that_changed_is_seen(tmp_path):
    path, stores = written(table(), tmp_path / "t.csv"), tmp_path / "engines.csv"
    stores.write_text("engine,power\n" + "".join(f"e{unit},{unit}\n" for unit in range(12)))
    config = table_config(path, static={"path": str(stores)})
    first = write_shards(config, tmp_path / "out", workers=1).series
    assert "power" in first.schema.features
    stores.write_text(stores.read_text().replace(",5", ",6"))
    with pytest.raises(ConfigError, match="the input files"):
        write_shards(config, tmp_path / "out", workers=1)


def test_what_the_check_found_is_told_at_training(tmp_path):
    path = written(
        table().assign(copy=lambda frame: frame["y"] * 3, level=lambda frame: 1e9 + frame["x0"]), tmp_path / "t.csv"
    )
    write_shards(table_config(path), tmp_path / "out", shard_bytes=SMALL, workers=1)
    told = {finding.rule: str(finding) for finding in prepare(shards_config(tmp_path / "out")).quality.warnings}
    assert "column 'copy'" in told["companion"] and "column 'level'" in told["float32"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    path = written(table(), tmp_path / "t.csv")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="not empty and holds no shards"):
        write_shards(table_config(path), tmp_path / "out", workers=1)


def test_one_run_at_a_time(tmp_path):
    from keras_seq.files import locked

    path = written(table(), tmp_path / "t.csv")
    (tmp_path / "out" / ".unfinished").mkdir(parents=True)
    with (
        locked(tmp_path / "out" / ".unfinished" / "lock"),
        pytest.raises(OutputError, match="Another process is writing shards"),
    ):
        write_shards(table_config(path), tmp_path / "out", workers=1)


def test_pyarrow_reads_shards(written_once):
    frame, found = table(), pd.concat(map(pd.read_feather, sorted(written_once.stored.folder.glob("*.arrow"))))
    assert found.columns.tolist() == ["unit", "time", "values", "targets"]
    np.testing.assert_array_equal(np.stack(found["values"]), frame[["x1", "x0"]].to_numpy(np.float32))
    np.testing.assert_array_equal(found["time"], frame["cycle"])
    assert found["unit"].tolist() == frame["engine"].tolist()


def test_tensorflow_reads_the_records(written_once, tmp_path):
    import tensorflow as tf

    kinds = {
        "values": tf.io.VarLenFeature(tf.float32),
        "targets": tf.io.VarLenFeature(tf.float32),
        "unit": tf.io.FixedLenFeature((), tf.string),
        "time": tf.io.FixedLenFeature((), tf.string),
    }
    values, units, times = [], [], []
    for record in tf.data.TFRecordDataset(list(map(str, export_shards(written_once, tmp_path, "tfrecord")))):
        found = tf.io.parse_single_example(record, kinds)
        values.append(found["values"].values.numpy().reshape(-1, 2))
        times.append(np.frombuffer(found["time"].numpy(), "<f8"))
        units += [found["unit"].numpy().decode()] * len(times[-1])
    frame = table()
    np.testing.assert_array_equal(np.concatenate(values), frame[["x1", "x0"]].to_numpy(np.float32))
    np.testing.assert_array_equal(np.concatenate(times), frame["cycle"])
    assert units == frame["engine"].tolist()


def test_parquet_copies_have_a_column_each(written_once, tmp_path):
    frame, files = table(), export_shards(written_once, tmp_path, "parquet")
    found = pd.concat(map(pd.read_parquet, files))
    np.testing.assert_allclose(found[frame.columns[1:]], frame[frame.columns[1:]], rtol=1e-6)
    assert found["engine"].tolist() == frame["engine"].tolist()


@pytest.mark.parametrize(("text", "size"), [("64KB", 65536), ("1.5mb", 3 * 2**19), ("2 GB", 2**31), ("70000", 70000)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["12", "many", "1TB", "-1MB", "1.2.3MB", ""])
def test_sizes_that_are_none(text):
    with pytest.raises(ConfigError, match="--shard-size must be a size"):
        parse_size(text)


def command(*words):
    from keras_seq.commands.data import main

    return main(list(words))


def test_the_commands(tmp_path, capsys):
    path = written(table(), tmp_path / "t.csv")
    words = ["--path", str(path), "--unit", "engine", "--time", "cycle", "--targets", "[y]"]
    assert command("shard", *words, "--output", str(tmp_path / "out"), "--shard-size", "64KB", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == len(table()) and found["written"] == found["shards"] == 1
    assert command("validate", str(tmp_path / "out")) == 0
    assert "all as they were written" in capsys.readouterr().out
    assert command("check", "--source", "shards", "--path", str(tmp_path / "out")) == 0
    assert command("export", str(tmp_path / "out"), "--output", str(tmp_path / "copies")) == 0
    assert len(pd.read_parquet(tmp_path / "copies" / "shard-00000.parquet")) == len(table())
    assert command("shard", *words, "--output", str(tmp_path / "out"), "--shard-size", "64KB") == 0
    assert "0 shards written, 1 kept" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [
    (["shard", "--source", "co2"], "needs --output FOLDER"),
    (["export", "x", "--output", "y", "--format", "tfrecords"], "did you mean 'tfrecord'"),
    (["export", "x"], "needs --output FOLDER"),
    (["export", "--output", "y"], "needs the folder of the shards"),
    (["shard", "--source", "co2", "--output", "x", "--workers", "two"], "--workers must be a number"),
    (["shard", "--source", "co2", "--output", "x", "--runner", "bean"], "did you mean 'beam'"),
    (["shard", "--source", "shards", "--output", "x"], "is written already"),
    (["validate"], "needs the folder of the shards"),
    (["validate", "nowhere"], "'nowhere' does not exist"),
    (["check", "--format", "parquet"], "format"),
])  # fmt: skip
def test_mistakes_in_commands(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ConfigError, DataError), match=message):
        command(*words)
    assert not list(tmp_path.glob("x"))


def test_beam_is_asked_for_only_by_its_runner(tmp_path):
    path = written(table(), tmp_path / "t.csv")
    if __import__("importlib.util").util.find_spec("apache_beam"):
        pytest.skip("apache-beam is installed here; the integration test runs it")
    with pytest.raises(ConfigError, match=r"--runner beam needs the package apache-beam"):
        write_shards(table_config(path), tmp_path / "out", runner="beam")


def test_writing_needs_no_tensorflow(tmp_path):
    path = written(table(), tmp_path / "t.csv")
    code = (
        "import sys; from keras_seq.data.__main__ import main\n"
        f"main(['shard', '--path', {str(path)!r}, '--unit', 'engine', '--time', 'cycle', '--targets', '[y]', "
        f"'--output', {str(tmp_path / 'out')!r}, '--workers', '1'])\n"
        "assert not {'tensorflow', 'keras', 'apache_beam', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_words_of_all_files_have_a_code(tmp_path):
    frame = table().assign(mode=np.resize(["run", "idle"], len(table())))
    frame.loc[frame.index[-40:], "mode"] = "purge"
    write_shards(table_config(archive(frame, tmp_path / "files")), tmp_path / "shards")
    series = prepare(shards_config(tmp_path / "shards")).series
    assert series.schema.vocabularies == {"mode": ("idle", "purge", "run")}
    place = series.schema.features.index("mode")
    assert {float(code) for code in np.asarray(series.values[:])[:, place]} == {1.0, 2.0, 3.0}
