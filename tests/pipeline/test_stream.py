"""A stream answers each row at once, as the file would be answered, and names the line that it cannot read."""

from __future__ import annotations

import csv
import io
import logging
import shutil

import numpy as np
import pytest

from keras_seq.errors import DataError, ExportError
from keras_seq.pipeline.stream import open_stepper, stream
from tests.factories.versions import judged, version


@pytest.fixture(scope="module")
def casts():
    """A bundle with an exported step graph beside it, and two units' rows as a CSV knows them."""
    from keras_seq.data.prepare import prepare

    bundle = judged()
    version()
    series = prepare(bundle.experiment.data).series
    unit = bundle.schema.unit_column
    header = [*([unit] if unit else []), *bundle.spec.features]
    units = {name: series.unit_values(number)[:12] for number, name in enumerate(("a", "b"))}
    return bundle, header, units


def text(rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().splitlines(keepends=True)


def row_of(bundle, unit, values):
    return [*([unit] if bundle.schema.unit_column else []), *(repr(float(value)) for value in values)]


def test_units_that_take_turns_are_answered_as_their_file_is(casts, tmp_path, monkeypatch):
    """The whole-window answers of predict at every row, though the stream sees the units interleaved."""
    from keras_seq.pipeline.predict import predict_file

    bundle, header, units = casts
    turns = [name for _ in range(12) for name in units] if bundle.schema.unit_column else ["a"] * 12
    taken = {name: iter(values) for name, values in units.items()}
    lines = text([header, *(row_of(bundle, name, next(taken[name])) for name in turns)])
    out = io.StringIO()
    monkeypatch.setattr("keras_seq.machine.load_tensorflow", lambda: pytest.fail("the exported step graph is there"))
    assert stream(bundle, lines, out) == len(turns)
    found = list(csv.DictReader(out.getvalue().splitlines()))
    for name in dict.fromkeys(turns):
        path = tmp_path / f"{name}.csv"
        path.write_text("".join(text([header, *(row_of(bundle, name, values) for values in units[name])])))
        with pytest.warns(UserWarning, match="no time column"):
            wanted = predict_file(bundle, path, every=1)
        mine = [row for row, turn in zip(found, turns, strict=True) if turn == name]
        np.testing.assert_allclose([float(row["probability"]) for row in mine], wanted["probability"], atol=1e-5)
        assert [row["class"] for row in mine] == wanted["class"].astype(str).tolist()


def test_each_row_is_answered_before_the_next_is_read(casts):
    bundle, header, units = casts
    out = io.StringIO()

    def lines():
        yield text([header])[0]
        for number, values in enumerate(units["a"]):
            assert len(out.getvalue().splitlines()) == (number + 1 if number else 0)
            yield text([row_of(bundle, "a", values)])[0]

    assert stream(bundle, lines(), out) == 12


@pytest.mark.parametrize(("change", "message"), [
    (lambda rows: [], "Line 1 must be a header"),
    (lambda rows: [rows[0][:-1], *rows[1:]], "Line 1, the header, lacks the feature column"),
    (lambda rows: [[*rows[0], rows[0][-1]], *rows[1:]], "Line 1, the header, names column '.*' twice"),
    (lambda rows: [*rows[:2], [*rows[2][:-1], "warm"]], "Line 3: column '.*' holds 'warm', expected a number"),
    (lambda rows: [*rows[:3], rows[3][:-1]], "Line 4 has [0-9]+ fields, expected at least [0-9]+"),
    (lambda rows: [*rows[:2], [*rows[2][:-1], ""]], "Line 3: Feature '.*' of unit .* is nan"),
    (lambda rows: [*rows[:2], [*rows[2][:-1], "inf"]], "Line 3: Feature '.*' is inf"),
])  # fmt: skip
def test_what_cannot_be_read_is_named_by_its_line(casts, change, message):
    bundle, header, units = casts
    rows = [header, *(row_of(bundle, "a", values) for values in units["a"])]
    if ("nan" in message or "inf" in message) and bundle.schema.columns[-1].missing:
        pytest.skip("this schema allows missing values")
    message = message.replace("Feature '.*' is inf", "Feature '.*' of unit .* is inf")
    with pytest.raises(DataError, match=message):
        stream(bundle, text(change(rows)), io.StringIO())


def test_the_step_graph_of_another_bundle_is_not_taken(casts, tmp_path, capsys):
    """Without a fitting export the step graph is built for the process, with the same answers."""
    from keras_seq.bundle import load_bundle

    bundle, _, units = casts
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    shutil.copytree(version().folder, tmp_path / "export" / "1")
    metadata = tmp_path / "export" / "1" / "keras_seq" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"bundle_sha256": "', '"bundle_sha256": "0'))
    other = load_bundle(tmp_path / "bundle")
    found, wanted = open_stepper(other), open_stepper(bundle)
    for values in units["a"]:
        np.testing.assert_array_equal(found.step(values)["probability"], wanted.step(values)["probability"])


@pytest.mark.slow
def test_forecasts_have_a_column_a_step_ahead(caplog):
    caplog.set_level(logging.INFO, logger="keras_seq")
    bundle = judged("co2")
    values = np.linspace(350, 360, 25)
    name, out = bundle.spec.features[0], io.StringIO()
    header = [*([bundle.schema.unit_column] if bundle.schema.unit_column else []), name]
    stream(bundle, text([header, *(row_of(bundle, "co2", [value]) for value in values)]), out)
    rows = list(csv.DictReader(out.getvalue().splitlines()))
    target = bundle.spec.targets[0]
    assert {f"{target}_ahead1", f"{target}_ahead2", f"{target}_lower_ahead1"} <= set(rows[0]) and len(rows) == 25
    assert "windows of 20 rows" in caplog.text


@pytest.mark.slow
def test_a_model_that_reads_both_ways_cannot_stream(tmp_path):
    from keras_seq import config
    from tests.factories.versions import make_judged

    changes = {"name": "both", "output": str(tmp_path), "model.family": "bilstm"}
    bundle = make_judged(config.replace(judged().experiment, **changes))
    with pytest.raises(ExportError, match=r"cannot answer step by step: .*needs the whole window.*lstm and gru"):
        open_stepper(bundle)
