"""The client's own parts, against a real HTTP server of the standard library that counts and misbehaves on demand."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import math
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_seq import cli
from keras_seq.errors import ConfigError, DataError, ServingError
from serving.client import Client, GrpcClient, Retry, arrays, frames, tables, wire
from serving.client.__main__ import main
from serving.client.calls import VersionTarget
from serving.client.errors import CallRefused
from serving.client.retry import RetryableError, retry_after
from serving.contract.signatures import Signature, TensorInfo
from serving.contract.status import Code


def info(shape, dtype="DT_FLOAT"):
    return TensorInfo("x:0", dtype, shape)


WINDOWS = Signature(
    "tensorflow/serving/predict",
    {"lengths": info((-1,), "DT_INT32"), "values": info((-1, -1, 3))},
    {"prediction": info((-1, 1)), "class": info((-1, 1), "DT_INT64")},
)
PLAIN = Signature("tensorflow/serving/predict", {"x": info((-1,))}, {"y": info((-1,))})
BOTH = {"prediction": [[1.5]], "class": [[0]]}


def definition(signature):
    def side(tensors):
        return {
            name: {
                "dtype": one.dtype,
                "name": one.name,
                "tensor_shape": {
                    "dim": [{"size": str(size), "name": ""} for size in one.shape],
                    "unknown_rank": False,
                },
            }
            for name, one in tensors.items()
        }

    return {
        "inputs": side(signature.inputs),
        "outputs": side(signature.outputs),
        "method_name": signature.method,
        "defaults": {},
    }


class Scripted(http.server.ThreadingHTTPServer):
    """Answers metadata of one signature; predict calls as the script says, then with ``answer``."""

    def __init__(self, signature=WINDOWS):
        self.signature, self.script, self.seen = signature, deque(), []
        self.answer = lambda body: (200, {}, {"outputs": BOTH})
        self.connections, self.told = 0, None  # told: what the extras say of the version
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def get_request(self):
        self.connections += 1
        return super().get_request()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.endswith("/metadata"):
            signatures = {"signature_def": {"serving_default": definition(self.server.signature)}}
            self.reply(200, {}, {"model_spec": {}, "metadata": {"signature_def": signatures}})
        elif self.path.startswith("/v1/"):
            status = {"error_code": "OK", "error_message": ""}
            self.reply(200, {}, {"model_version_status": [{"version": "3", "state": "AVAILABLE", "status": status}]})
        elif self.server.told is not None:
            self.reply(200, {}, {"keras_seq": self.server.told})
        else:
            self.reply(400, {}, {"error": f"Malformed request: GET {self.path}"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), body))
        step = self.server.script.popleft() if self.server.script else self.server.answer
        if step == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        elif step == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            self.close_connection = True
        elif step == "sleep":
            time.sleep(1.0)
        else:
            self.reply(*(step(wire.loads(body)) if callable(step) else step))

    def reply(self, status, headers, value):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ValueError, OSError):  # it was reset on purpose
            self.close_connection = True

    def finish(self):
        with contextlib.suppress(ValueError, OSError):
            super().finish()

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    made = Scripted()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def patient(waits):
    return Retry(attempts=4, first=0.1, sleep=waits.append)


VALUES = np.ones((1, 2, 3), np.float32)


# --- what is repeated and what is not ---------------------------------------------------------------------------


def test_503_is_repeated_after_the_time_asked_for(server):
    waits = []
    server.script.extend([(503, {"Retry-After": "2"}, {"error": "queue is full"})] * 2)
    with Client(server.url, retry=patient(waits)) as client:
        assert client.predict("m", VALUES)["prediction"].tolist() == [[1.5]]
    assert len(server.seen) == 3
    assert 2.0 <= waits[0] <= 2.1 and 2.0 <= waits[1] <= 2.2


def test_reset_before_an_answer_is_repeated(server):
    waits = []
    server.script.extend(["reset", "reset"])
    with Client(server.url, retry=patient(waits)) as client:
        client.predict("m", VALUES)
    assert len(server.seen) == 3 and len(waits) == 2


def test_attempts_end(server):
    server.answer = lambda body: (503, {}, {"error": "queue is full"})
    with Client(server.url, retry=Retry(attempts=3, first=0.0)) as client, pytest.raises(CallRefused) as caught:
        client.predict("m", VALUES)
    assert len(server.seen) == 3
    assert caught.value.code is Code.UNAVAILABLE and caught.value.said == "queue is full"
    assert "3 calls were made" in str(caught.value)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("sleep", "did not answer within 0.2 s"),
        ("half", "broke off"),
        ((400, {}, {"error": "Missing named input"}), r"INVALID_ARGUMENT, HTTP 400\): Missing named input\."),
        ((500, {}, {"error": "graph failed"}), "INTERNAL, HTTP 500"),
        ((504, {}, {"error": "Timed out"}), "longer timeout"),
        ((401, {}, b"<html>no</html>"), "token"),
        ((413, {}, b""), "lower rows_per_request"),
        ((200, {}, b"hello"), "no JSON"),
        ((200, {}, {"answer": 1}), "no 'outputs'"),
    ],
)
def test_not_repeated(server, step, message):
    server.script.append(step)
    with Client(server.url, timeout=0.2, retry=patient([])) as client, pytest.raises(ServingError, match=message):
        client.predict("m", VALUES)
    assert len(server.seen) == 1


def test_nobody_there():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    waits = []
    with pytest.raises(ServingError, match=f"No server answers at http://127.0.0.1:{port}.*Is it running"):
        Client(f"http://127.0.0.1:{port}", retry=patient(waits)).status("m")
    assert len(waits) == 3
    once = Retry(attempts=1)
    with pytest.raises(ServingError, match=f"No server answers at 127.0.0.1:{port}"):
        GrpcClient(f"127.0.0.1:{port}", retry=once, timeout=2).status("m")


@given(st.integers(1, 40), st.one_of(st.none(), st.floats(0, 1e6)))
def test_waits_are_bounded(attempt, asked):
    wait = Retry(first=0.1, longest=5).wait(attempt, asked)
    assert min(asked or 0.0, 5.0) <= wait <= 5.0


def test_retry_after_in_both_forms():
    now = 1_700_000_000.0
    assert retry_after("7") == 7
    assert retry_after("Tue, 14 Nov 2023 22:13:30 GMT", now) == 10
    assert retry_after("Tue, 14 Nov 2023 22:13:00 GMT", now) == 0
    assert retry_after("soon") is None and retry_after(None) is None


def test_only_again_is_repeated():
    calls = []

    def call():
        calls.append(1)
        raise ServingError("no")

    with pytest.raises(ServingError):
        Retry().run(call)
    assert len(calls) == 1
    with pytest.raises(ConfigError, match="attempts"):
        Retry(attempts=0)
    error = ServingError("busy")
    with pytest.raises(ServingError, match=r"busy \(2 calls") as caught:
        Retry(attempts=2, first=0).run(lambda: (_ for _ in ()).throw(RetryableError(error)))
    assert caught.value is error


# --- connections, batches ---------------------------------------------------------------------------------------


def test_the_connection_is_kept(server):
    with Client(server.url) as client:
        for _ in range(5):
            client.predict("m", VALUES)
        client.status("m")
    assert server.connections == 1


@pytest.mark.parametrize("connections", [1, 3])
def test_many_rows_become_several_requests_in_order(server, connections):
    server.signature = PLAIN
    server.answer = lambda body: (200, {}, {"outputs": [2 * x for x in body["inputs"]["x"]]})
    with Client(server.url, rows_per_request=7, connections=connections) as client:
        found = client.predict("m", np.arange(50))
    assert found["y"].tolist() == [2.0 * x for x in range(50)]
    assert sorted(len(wire.loads(body)["inputs"]["x"]) for *_, body in server.seen) == [1] + [7] * 7


def test_size_of_a_request_is_bounded(server):
    server.answer = lambda body: (200, {}, {"outputs": {n: v * len(body["inputs"]["values"]) for n, v in BOTH.items()}})
    with Client(server.url, bytes_per_request=1000) as client:
        client.predict("m", np.zeros((20, 25, 3)))  # 300 bytes a row
    assert [len(wire.loads(body)["inputs"]["values"]) for *_, body in server.seen] == [3] * 6 + [2]


def test_answers_without_a_batch_axis_are_not_joined(server):
    server.signature = PLAIN
    server.answer = lambda body: (200, {}, {"outputs": 6.0})
    with Client(server.url, rows_per_request=2) as client:
        assert client.predict("m", [1.0, 2.0])["y"] == 6.0
        with pytest.raises(ServingError, match="rows_per_request"):
            client.predict("m", [1.0, 2.0, 3.0])


def test_token_version_and_label_are_sent(server):
    with Client(server.url, token="secret") as client:
        client.predict("a b", VALUES, version=3)
        client.predict("m", VALUES, label="stable")
        with pytest.raises(ConfigError, match="not both"):
            client.predict("m", VALUES, version=3, label="stable")
    assert [path for path, *_ in server.seen] == [
        "/v1/models/a%20b/versions/3:predict",
        "/v1/models/m/labels/stable:predict",
    ]
    assert server.seen[0][1]["Authorization"] == "Bearer secret"


def test_status(server):
    with Client(server.url) as client:
        (row,) = client.status("m")
    assert (row.version, row.state, row.error_code) == (3, "AVAILABLE", "OK")


def test_a_refusal_makes_the_signature_be_asked_anew(server):
    with Client(server.url) as client:
        client.predict("m", VALUES)
        server.signature = PLAIN
        server.script.append((400, {}, {"error": "Missing named input: x"}))
        with pytest.raises(CallRefused):
            client.predict("m", VALUES)
        server.answer = lambda body: (200, {}, {"outputs": [4.0]})
        assert client.predict("m", [1.0])["y"].tolist() == [4.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Client("127.0.0.1:8501"), "url must be"),
        (lambda: Client("ftp://x"), "url must be"),
        (lambda: GrpcClient("http//x"), "address must be host:port"),
        (lambda: GrpcClient("localhost"), "address must be host:port"),
        (lambda: GrpcClient("x:1", ca="/none"), "'/none' of ca cannot be read"),
        (lambda: Client(timeout=0), "timeout must be above 0"),
        (lambda: Client(rows_per_request=-1), "rows_per_request must be above 0"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


# --- arrays -----------------------------------------------------------------------------------------------------


def test_sequences_of_different_lengths_are_padded():
    found = arrays.named_inputs([np.ones((1, 3)), np.ones((3, 3))], None, WINDOWS)
    assert found["lengths"].tolist() == [1, 3] and found["lengths"].dtype == np.int32
    assert found["values"].shape == (2, 3, 3) and found["values"][0, 1:].sum() == 0


def test_lengths_are_full_unless_given():
    assert arrays.named_inputs(np.zeros((2, 4, 3)), None, WINDOWS)["lengths"].tolist() == [4, 4]
    assert arrays.named_inputs(np.zeros((2, 4, 3)), [1, 2], WINDOWS)["lengths"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("values", "lengths", "signature", "message"),
    [
        (np.zeros((2, 4)), None, WINDOWS, "lengths was|shape"),
        (np.zeros((2, 4, 5)), None, WINDOWS, r"shape \(2, 4, 5\), the model takes \(any, any, 3\)"),
        ([np.zeros((2, 3))], [2], WINDOWS, "have their own lengths"),
        ([np.zeros(3)], None, WINDOWS, "expected .time, features. each"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], None, WINDOWS, r"\[3, 4\] features"),
        (np.zeros((2, 4, 3)), [1.5, 2], WINDOWS, "whole numbers"),
        (np.zeros(2), [1], PLAIN, "leave it out"),
        ({"z": [1]}, None, PLAIN, "no input 'z'"),
        ({}, None, PLAIN, "'x' is missing"),
        (["a"], None, PLAIN, "array of float32"),
        ([[1, 2], [3]], None, PLAIN, "array of float32"),
        ([1], None, Signature("", {"x": info((1,), "DT_VARIANT")}, {}), "DT_VARIANT"),
        ([1], None, Signature("", {"a": info(None), "b": info(None)}, {}), "2 inputs .a, b."),
    ],
)
def test_wrong_arrays(values, lengths, signature, message):
    with pytest.raises(DataError, match=message):
        arrays.named_inputs(values, lengths, signature)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int32, np.int64, np.uint64, np.bool_]),
        hnp.array_shapes(max_dims=3),
    )
)
def test_numbers_survive_the_wire(array):
    """Every bit of a finite number, NaN and both infinities."""
    sent = wire.loads(wire.predict_body({"x": array}, "serving_default"))
    assert sent["signature_name"] == "serving_default"
    back = np.asarray(sent["inputs"]["x"], array.dtype)
    np.testing.assert_array_equal(back.reshape(array.shape), array)


def test_not_a_number_is_written_as_tensorflow_serving_reads_it():
    assert wire.predict_body({"x": np.array([1.5, math.nan], np.float32)}, "s").endswith(b'{"x":[1.5,NaN]}}')
    assert wire.predict_body({"x": np.array([-math.inf], np.float32)}, "s").endswith(b'{"x":[-Infinity]}}')


def test_answers_that_are_no_numbers(server):
    server.signature = PLAIN
    server.answer = lambda body: (200, {}, b'{"outputs": [NaN, -Infinity, 1e30]}')
    with Client(server.url) as client:
        found = client.predict("m", [1.0, 2.0, 3.0])["y"]
    np.testing.assert_array_equal(found, np.array([np.nan, -np.inf, 1e30], np.float32))
    assert found.dtype == np.float32


def test_text_and_bytes():
    signature = Signature("", {"s": info((-1,), "DT_STRING")}, {"u": info((-1,), "DT_STRING")})
    inputs = arrays.named_inputs([b"\xff", "text"], None, signature)
    sent = json.loads(wire.predict_body(inputs, "s"))["inputs"]["s"]
    assert sent == [{"b64": base64.b64encode(b"\xff").decode()}, "text"]
    found = wire.predictions({"outputs": ["A", {"b64": base64.b64encode(b"\xff").decode()}]}, signature)
    assert found["u"].tolist() == [b"A", b"\xff"]


@given(st.integers(1, 30), st.integers(1, 40))
def test_parts_hold_every_row_once(rows, step):
    given_ = {"a": np.arange(rows), "b": np.arange(rows) * 2}
    parts = list(arrays.batches(given_, step, 10**9))
    assert np.concatenate([part["a"] for part in parts]).tolist() == list(range(rows))
    assert all((part["b"] == 2 * part["a"]).all() and len(part["a"]) <= step for part in parts)


def test_rows_must_agree():
    with pytest.raises(DataError, match="a: 2, b: 3"):
        list(arrays.batches({"a": np.zeros(2), "b": np.zeros(3)}, 1, 1))


# --- DataFrames -------------------------------------------------------------------------------------------------


def table():
    return pd.DataFrame({"unit": [7, 7, 7, 2], "p": [1.0, 2, 3, 4], "q": [0, 1, 0, 1], "r": [1.0, None, 1, 1]})


def test_a_frame_of_units_becomes_a_window_each(server):
    server.answer = lambda body: (200, {}, {"outputs": {"prediction": [[1.0], [2.0]], "class": [[0], [1]]}})
    with Client(server.url) as client:
        found = client.predict("m", table(), unit="unit", features=["q", "p", "r"], window=2)
    assert found.to_dict("list") == {"unit": [7, 2], "prediction": [1.0, 2.0], "class": [0, 1]}
    sent = wire.loads(server.seen[0][2])["inputs"]
    assert sent["lengths"] == [2, 1]
    np.testing.assert_array_equal(sent["values"][0], [[1, 2, np.nan], [0, 3, 1]])
    assert server.seen[0][0] == "/v1/models/m:predict"  # the extras were asked, and said no


def test_a_frame_without_units_is_one_window(server):
    with Client(server.url) as client:
        found = client.predict("m", table().drop(columns="unit"))
    assert len(found) == 1
    assert wire.loads(server.seen[0][2])["inputs"]["lengths"] == [4]


def test_wrong_frames(server):
    with Client(server.url) as client:
        with pytest.raises(DataError, match="no column 'enginee'"):
            client.predict("m", table(), unit="enginee")
        with pytest.raises(DataError, match="must be numeric"):
            client.predict("m", table().assign(p="a"), features=["p", "q", "r"])
        with pytest.raises(ConfigError, match="'window' is for DataFrames"):
            client.predict("m", VALUES, window=3)


def test_examples_of_a_frame():
    found = tables.frame_examples(table(), "unit")
    assert [len(one["p"]) for one in found] == [3, 1]
    assert json.loads(wire.examples_body(found[1:], "s", {"a": b"x"})) == {
        "signature_name": "s",
        "examples": [{"p": [4.0], "q": [1.0], "r": [1.0]}],
        "context": {"a": {"b64": "eA=="}},
    }


def test_several_outputs_become_columns():
    frame = frames.answers_frame({"p": np.arange(6.0).reshape(2, 3), "c": np.array([[1], [2]])}, ["a", "b"], "unit")
    assert frame.columns.tolist() == ["unit", "p_0", "p_1", "p_2", "c"]


# --- weight -----------------------------------------------------------------------------------------------------


def test_no_tensorflow():
    """Both clients, all messages of the protocol, the command line's parts: none imports TensorFlow or Keras."""
    code = """
import sys
import numpy as np
from serving.client import Client, GrpcClient, Retry
import serving.client.__main__, serving.client.served, serving.client.tables
from serving.client.calls import VersionTarget
client = GrpcClient("127.0.0.1:1", timeout=1, retry=Retry(attempts=1))
for call in (client.status, client.metadata):
    try: call("m")
    except Exception as error: print(type(error).__name__)
from serving.client.rpc import _fill, protos
_fill(protos.apis("classification").ClassificationRequest().input, [{"a": [1.0], "b": "t", "c": 3}], None)
print([name for name in ("tensorflow", "keras", "tensorflow_serving") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["ServingError", "ServingError", "[]"], done.stdout + done.stderr


def test_help_at_once():
    forbidden = ["tensorflow", "keras", "pandas", "grpc", "urllib3", "numpy"]
    code = (
        "import runpy, sys; sys.argv = ['x', 'predict', '--help']\n"
        "try: runpy.run_module('serving.client', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print([m for m in {forbidden} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert "--rows_per_request" in done.stdout


def test_mistakes_on_the_command_line_are_one_paragraph(tmp_path, capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for words, text in (
        (["status", "m", "--url", f"http://127.0.0.1:{port}"], "No server answers"),
        (["predict", "m", str(tmp_path / "none.csv")], "does not exist"),
        (["predict", "m", "x.csv", "--metadata", "/none.json"], "--metadata cannot be read"),
        (["status", "m", "--token_file", "/none"], "--token_file cannot be read"),
        (["predict"], "required"),
    ):
        assert cli.run(main, words) == 2
        said = capsys.readouterr().err
        assert text in said and len(said.strip().splitlines()) == 1


def test_target_reads_well():
    assert str(VersionTarget("m", 3)) == "model 'm' version 3"
    assert str(VersionTarget("m", label="stable")) == "model 'm' label 'stable'"


def test_a_file_of_other_columns_says_how_they_are_told():
    from serving.client.served import Columns, from_columns

    signature = Signature("", {"values": info((-1, -1, 2)), "lengths": info((-1,), "DT_INT32")}, {})
    table = pd.DataFrame({"pump": [1, 1], "a": [0.1, 0.2], "b": [1.0, 2.0], "wear": [9.0, 8.0]})
    with pytest.raises(DataError, match=r"takes 2 features and the file has 3 columns .*--extras_prefix=/keras_seq"):
        from_columns(table, signature, Columns(unit="pump"))
    with pytest.raises(ConfigError, match="--features names 1 columns, the model takes 2"):
        from_columns(table, signature, Columns(features=("a",), unit="pump"))
    assert from_columns(table, signature, Columns(features=("a", "b"), unit="pump")).spec.time == 2
