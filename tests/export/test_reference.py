"""What a version carries of its training: rows as the model sees them, kept and read back."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_seq.errors import ExportError
from keras_seq.export.reference import (
    ROLLING,
    WHOLE,
    describe_columns,
    errors_of,
    make_reference,
    part_rows,
    read_reference,
    rows_of,
    spread_evenly,
    write_reference,
)
from tests.factories import watched as made

finite = st.floats(-100, 100, width=32)
windows = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6), st.just(2)), elements=finite)


@given(windows, st.data())
def test_rows_do_not_depend_on_padding(values, data):
    count, time, _ = values.shape
    lengths = np.array(data.draw(st.lists(st.integers(0, time), min_size=count, max_size=count)), np.int32)
    junk = values.copy()
    for row, length in zip(junk, lengths, strict=True):
        row[length:] = np.nan
    for views in (ROLLING, WHOLE):
        np.testing.assert_array_equal(rows_of(values, lengths, views), rows_of(junk, lengths, views))


@given(windows)
def test_rows_are_newest_step_or_moments(values):
    np.testing.assert_array_equal(rows_of(values, None, ROLLING), values[:, -1])
    whole = rows_of(values, None, WHOLE)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(whole[:, :2], exact.mean(axis=1), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(whole[:, 2:], exact.std(axis=1), rtol=1e-4, atol=1e-4)


def test_single_steps_are_rows():
    step = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(rows_of(step, None, ROLLING), step)


def test_errors():
    assert errors_of(np.array([[1.0, 3.0]]), np.array([[2.0, 5.0]]), "regression") == pytest.approx([1.5])
    assert errors_of(np.array([[100.0]]), np.array([[200.0]]), "regression", cap=125.0) == pytest.approx([25])
    assert errors_of(np.array([[0.8]]), np.array([1.0]), "binary") == pytest.approx([0.2])
    assert errors_of(np.array([[0.1, 0.9]] * 2), np.array([1.0, 5.0]), "multiclass") == pytest.approx(
        [0.1, np.nan], nan_ok=True
    )


def test_columns_are_described():
    rows = np.array([[1, np.nan], [2, np.nan], [3, np.nan], [np.nan, np.nan]], np.float32)
    first, second = describe_columns(rows, ["a", "b"])
    assert (first["missing"], first["mean"], first["minimum"], first["maximum"]) == (0.25, 2.0, 1.0, 3.0)
    assert sum(first["histogram"]) == 3 and len(first["deciles"]) == 9
    assert second == {"name": "b", "count": 4, "missing": 1.0}


def test_rows_are_whole_engines_in_their_order(data_home):
    series = made.engines().series
    rows, unit = part_rows(made.engines(), "train", ROLLING)
    for engine in dict.fromkeys(unit.tolist()):
        np.testing.assert_array_equal(rows[unit == engine], series.unit_values(engine))
    few, few_unit = part_rows(made.engines(), "train", ROLLING, most=1000)
    assert 900 < len(few) <= 1000
    assert (np.diff(np.flatnonzero(np.diff(few_unit, prepend=-1))) > 50).all()  # runs, not crumbs


def test_a_reference_comes_back_as_it_was(data_home, tmp_path):
    reference = made.reference()
    written = write_reference(reference, tmp_path / "keras_seq")
    assert sum(path.stat().st_size for path in written) < 2**20
    found = read_reference(tmp_path)
    for field in dataclasses.fields(reference):
        np.testing.assert_equal(getattr(found, field.name), getattr(reference, field.name))
    assert read_reference(tmp_path / "none") is None


def test_nothing_pickled_is_loaded(data_home, tmp_path):
    folder = tmp_path / "keras_seq"
    write_reference(made.reference(), folder)
    with np.load(folder / "reference.npz") as stored:
        arrays = dict(stored)
    np.savez(folder / "reference.npz", **arrays | {"errors": np.array([print], object)})
    with pytest.raises(ExportError, match="cannot be read"):
        read_reference(tmp_path)


@pytest.mark.parametrize(
    ("name", "array"), [("rows", np.zeros((4, 4), "f4")), ("errors", np.zeros(2, "f4")), ("answers", None)]
)
def test_a_reference_that_does_not_fit_together_is_refused(data_home, tmp_path, name, array):
    folder = tmp_path / "keras_seq"
    write_reference(made.reference(), folder)
    with np.load(folder / "reference.npz") as stored:
        arrays = dict(stored) | {name: array}
    np.savez(folder / "reference.npz", **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(ExportError, match="export the bundle again"):
        read_reference(tmp_path)


def test_samples_are_spread():
    assert spread_evenly(10, 5).tolist() == [0, 2, 4, 6, 9]
    assert spread_evenly(3, 5).tolist() == [0, 1, 2]
    assert len(spread_evenly(0)) == 0


def test_reading_needs_no_heavy_import():
    code = "import keras_seq.export.reference, sys; print({'tensorflow', 'keras', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "views", "answer"), [("casts", WHOLE, "probability"), ("co2", ROLLING, "prediction")])
def test_references_of_bundles(kind, views, answer):
    """Whole casts and rolling weeks: answers are those of the served graph."""
    from keras_seq.export.canary import answers_of
    from keras_seq.export.samples import sample_windows
    from tests.factories.versions import judged, version

    bundle = judged(kind)
    found = make_reference(bundle)
    assert found.views == views and found.answer == answer
    assert len(found.columns) == len(views) * len(bundle.spec.features)
    assert np.isfinite(found.answers).all() and np.isfinite(found.errors).any()
    windows = sample_windows(bundle, part="validation", count=10_000)
    served = answers_of(version(kind).folder, windows, only=["serving_default"])["serving_default"][answer]
    flat = served.reshape(len(served), -1)[:, list(found.picked)]
    assert len(flat) == len(found.answers)
    np.testing.assert_allclose(np.sort(flat, axis=0), np.sort(found.answers, axis=0), rtol=1e-4, atol=1e-4)
