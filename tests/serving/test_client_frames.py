"""A DataFrame is answered as its file is, by the schema that the server tells; without one, doubt is refused."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.data.series import Column, Schema
from keras_seq.errors import DataError
from serving.client import Client, wire
from serving.contract.signatures import Signature
from tests.serving.test_client import Scripted, info

WINDOW = 3
FIXED = Signature(
    "tensorflow/serving/predict",
    {"values": info((-1, WINDOW, 2))},
    {"prediction": info((-1, 1)), "lower": info((-1, 1))},
)


def told(**schema):
    """What the extras say of a version: regression of y by a and b, windows of three rows."""
    columns = (Column(name="a"), Column(name="b", missing=True))
    made = Schema(
        name="pumps",
        task="regression",
        columns=columns,
        targets=("y",),
        **{"unit_column": "pump", "time_column": "hour"} | schema,
    )
    return {
        "config": config.to_dict(config.from_dict({"name": "pumps"})),
        "schema": made.model_dump(mode="json"),
        "task": "regression",
        "features": [{"name": "a"}, {"name": "b"}],
        "targets": ["y"],
        "time": WINDOW,
        "variable_length": False,
        "horizon": 0,
        "classes": [],
    }


def sums(body):
    """Answers: the sum of each window's first feature, and the number 10."""
    values = np.asarray(body["inputs"]["values"] if isinstance(body["inputs"], dict) else body["inputs"], np.float64)
    answers = np.nansum(values[:, :, 0], 1)
    return 200, {}, {"outputs": {"prediction": answers[:, None].tolist(), "lower": [[10.0]] * len(values)}}


@pytest.fixture
def server():
    made = Scripted(FIXED)
    made.answer = sums
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def table():
    """Two pumps whose rows take turns, three and four rows."""
    rows = [(7, 0, 1.0), (2, 0, 10.0), (7, 1, 2.0), (2, 1, 20.0), (7, 2, 3.0), (2, 2, 30.0), (2, 3, 40.0)]
    return pd.DataFrame(rows, columns=["pump", "hour", "a"]).assign(b=[np.nan, 1, 1, 1, 1, 1, 1], remark="x")


def predict(server, frame, **options):
    with Client(server.url) as client:
        return client.predict("m", frame, **options)


def test_a_frame_is_read_by_the_schema_that_the_server_tells(server):
    """Nobody names the unit; other columns are passed over; units and hours are the frame's own."""
    server.told = told()
    found = predict(server, table())
    assert found.to_dict("list") == {"pump": [7, 2], "hour": [2, 3], "y": [6.0, 90.0], "y_lower": [10.0, 10.0]}
    every = predict(server, table(), every=1)
    assert every["y"].tolist() == [6.0, 60.0, 90.0] and every["hour"].tolist() == [2, 2, 3]


def test_a_frame_and_its_file_are_answered_alike(server, tmp_path):
    from serving.client.calls import VersionTarget
    from serving.client.served import Columns
    from serving.client.tables import answer_table

    server.told = told()
    table().to_csv(tmp_path / "rows.csv", index=False)
    with Client(server.url) as client:
        file = answer_table(client, VersionTarget("m"), tmp_path / "rows.csv", Columns()).table
        frame = client.predict("m", table())
    pd.testing.assert_frame_equal(file.assign(pump=file["pump"].astype(int)), frame, check_dtype=False)


@pytest.mark.parametrize(("change", "message"), [
    (lambda frame: frame.sample(frac=1, random_state=1), "'hour' of unit '.' does not rise"),
    (lambda frame: frame.assign(pump=frame["pump"].where(frame.index != 3)), "names no unit in data row 4"),
    (lambda frame: frame.drop(columns="pump"), "lacks the unit column 'pump'"),
    (lambda frame: frame.drop(columns="b"), "lacks the input column 'b'"),
    (lambda frame: frame.assign(a=np.nan), "misses 'a' in data row 1"),
    (lambda frame: frame.groupby("pump").head(2), "'7' has 2 rows and the model's window needs 3 rows"),
])  # fmt: skip
def test_frames_that_deviate_are_refused_and_nothing_is_sent(server, change, message):
    server.told = told()
    with pytest.raises(DataError, match=message):
        predict(server, change(table()))
    assert not server.seen


def test_a_short_unit_is_named_and_the_others_are_answered(server):
    server.told = told()
    frame = pd.concat([table(), pd.DataFrame({"pump": [9], "hour": [0], "a": [1.0], "b": [1.0]})])
    with pytest.warns(UserWarning, match="1 unit was not answered: '9' has 1 rows"):
        found = predict(server, frame)
    assert found["pump"].tolist() == [7, 2]


def test_a_frame_without_times_is_said_to_be_taken_in_order(server):
    server.told = told()
    with pytest.warns(UserWarning, match="no time column 'hour'"):
        found = predict(server, table().drop(columns="hour"))
    assert found["row"].tolist() == [5, 7]


def test_answers_have_names_of_their_own(server):
    server.told = told(unit_column="y_lower")
    found = predict(server, table().rename(columns={"pump": "y_lower"}))
    assert found["y_lower"].tolist() == [7, 2] and found["y__lower"].tolist() == [10.0, 10.0]


@pytest.mark.parametrize(("change", "message"), [
    (lambda frame: frame, "column 'pump' has values that come again"),
    (lambda frame: frame.assign(pump=["p"] * 3 + ["q"] * 4), "column 'pump' has values that come again"),
    (lambda frame: frame.assign(pump=[3, 2, 1, 7, 6, 5, 4]), "column 'pump' does not rise"),
    (lambda frame: frame.assign(pump=pd.date_range("2020", periods=7)[::-1]), "column 'pump' does not rise"),
    (lambda frame: frame.assign(pump=[f"2020-01-0{9 - day}" for day in range(7)]), "column 'pump' does not rise"),
])  # fmt: skip
def test_without_a_description_what_looks_like_several_units_is_refused(server, change, message):
    frame = change(table()).drop(columns=["hour", "remark"])
    with pytest.raises(DataError, match=message):
        predict(server, frame, features=["a", "b"])
    assert not server.seen


@pytest.mark.parametrize("other", [range(7), pd.date_range("2020", periods=7), ["x"] * 7, [0.5, 1, 0.5, 1, 2, 3, 4]])
def test_without_a_description_one_unit_is_answered(server, other):
    frame = table()[["a", "b"]].assign(other=other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = predict(server, frame, features=["a", "b"])
    assert found.to_dict("list") == {"prediction": [73.0], "lower": [10.0]}


def test_without_a_description_rows_without_a_unit_are_not_lost(server):
    frame = table().assign(pump=[7, 2, 7, None, 7, 2, 2])
    with pytest.raises(DataError, match="names no unit in data row 4"):
        predict(server, frame, features=["a", "b"], unit="pump")
    with pytest.raises(DataError, match=r"'hour' of unit .* does not rise"):
        predict(server, table().iloc[[0, 1, 4, 2, 3, 5, 6]], features=["a", "b"], unit="pump", time="hour")


def test_examples_are_the_windows_of_the_schema(server):
    from serving.client import tables

    found = tables.frame_examples(table(), None, told())
    assert [one["a"] for one in found] == [[1.0, 2.0, 3.0], [20.0, 30.0, 40.0]]
    assert wire.examples_body(found[1:], "s", None)
    with pytest.raises(DataError, match="names no unit"):
        tables.frame_examples(table().assign(pump=None), "pump")
