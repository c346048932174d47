"""Tables on object stores and web servers, read from a real S3 protocol server and a web server on loopback."""

from __future__ import annotations

import dataclasses
import http.server
import io
import os
import socket
import threading
import time
from typing import ClassVar

import numpy as np
import pytest

from keras_seq import config
from keras_seq.data import remote
from keras_seq.data.prepare import read_series
from keras_seq.data.remote import is_address, local_path
from keras_seq.errors import ConfigError, DataError

ROWS = "machine,t,a,y\n" + "".join(f"m{u},{t},{t * 0.5 + u},{t}\n" for u in range(3) for t in range(40))


def data_of(path, **changes):
    tree = {"source": "table", "path": str(path), "unit": "machine", "time": "t", "targets": ["y"], "features": ["a"]}
    return config.from_dict({"data": {**tree, **changes}}).data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    monkeypatch.setattr(remote, "FRESH", 0.0)
    remote._CHECKED.clear()


@pytest.fixture(scope="module")
def s3():
    """Client of an S3 server, and its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, **keys)
    client.create_bucket(Bucket="plant")
    yield client, address
    server.stop()


@pytest.fixture
def bucket(s3, monkeypatch):
    client, address = s3
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return client


class Files(http.server.BaseHTTPRequestHandler):
    """Serves ``content`` by path; a path with "torn" promises more than it gives."""

    content: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        data = self.content.get(self.path)
        if data is None:
            self.send_error(403 if "secret" in self.path else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + 100 * ("torn" in self.path)))
        self.send_header("ETag", str(hash(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Files.content = {"/d/log.csv": ROWS.encode(), "/torn.csv": ROWS.encode()}
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://b/x.csv", True),
        ("https://h/x.csv", True),
        ("a/b.csv", False),
        ("file:///x.csv", False),
        ("C:/x.csv", False),
    ],
)
def test_addresses(name, expected):
    assert is_address(name) is expected


def test_an_object_is_the_same_series_as_the_file(bucket, tmp_path):
    bucket.put_object(Bucket="plant", Key="2024/log.csv", Body=ROWS.encode())
    (tmp_path / "log.csv").write_text(ROWS)
    far, near = read_series(data_of("s3://plant/2024/log.csv")), read_series(data_of(tmp_path / "log.csv"))
    assert far.content() == near.content()
    assert far.info["origin"] == "log.csv"


def test_other_formats_and_parquet(bucket, tmp_path):
    import pandas as pd

    pd.read_csv(io.StringIO(ROWS)).to_parquet(tmp_path / "log.parquet")
    bucket.put_object(Bucket="plant", Key="log.parquet", Body=(tmp_path / "log.parquet").read_bytes())
    bucket.put_object(Bucket="plant", Key="log.jsonl", Body=pd.read_parquet(tmp_path / "log.parquet").to_json(
        orient="records", lines=True).encode())  # fmt: skip
    one, other = (read_series(data_of(f"s3://plant/log.{ending}")) for ending in ("parquet", "jsonl"))
    np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize("place", ["s3://plant/runs/", "s3://plant/runs", "s3://plant/runs/*.csv"])
def test_a_folder_or_pattern_gives_a_unit_a_file(bucket, place):
    for unit in range(3):
        rows = "t,a,y\n" + "".join(f"{t},{t + unit},{t}\n" for t in range(30))
        bucket.put_object(Bucket="plant", Key=f"runs/pump_{unit}.csv", Body=rows.encode())
    series = read_series(data_of(place, unit="file"))
    assert series.unit_ids.tolist() == ["pump_0", "pump_1", "pump_2"]
    assert series.unit_values(2)[0, 0] == 2


def test_changed_content_is_read_anew_and_the_same_is_not_copied_again(bucket):
    bucket.put_object(Bucket="plant", Key="live.csv", Body=ROWS.encode())
    first = local_path("s3://plant/live.csv")
    written = first.stat().st_mtime_ns
    assert local_path("s3://plant/live.csv") == first
    assert first.stat().st_mtime_ns == written
    time.sleep(1.1)  # the server tells whole seconds
    bucket.put_object(Bucket="plant", Key="live.csv", Body=ROWS.replace(",39\n", ",77\n").encode())
    assert read_series(data_of("s3://plant/live.csv")).targets.max() == 77


def test_init_writes_the_address_and_predict_reads_one(bucket, tmp_path):
    from keras_seq.autoconfig.look import look
    from keras_seq.config.forecasting import CovariatesConfig
    from keras_seq.data.table_rows import read_rows

    address = "s3://plant/init.csv"
    bucket.put_object(Bucket="plant", Key="init.csv", Body=ROWS.encode())
    findings = look(local_path(address), tmp_path / "c.yaml", targets=("y",), address=address)
    assert {c.key: c.value for c in findings.choices}["data.path"] == address
    series = read_series(data_of(address))
    rows = read_rows(address, series.schema, CovariatesConfig(), with_targets=True)
    np.testing.assert_array_equal(rows.series.values, series.values)


def test_a_web_server(web):
    assert len(read_series(data_of(f"{web}/d/log.csv")).values) == 120
    Files.content["/d/log.csv"] = ROWS.replace(",39\n", ",77\n").encode()
    assert read_series(data_of(f"{web}/d/log.csv")).targets.max() == 77


def test_other_stores_by_fsspec():
    import fsspec

    fsspec.filesystem("memory").pipe_file("/lake/log.csv", ROWS.encode())
    assert len(read_series(data_of("memory://lake/log.csv")).values) == 120


def test_what_is_missing_or_forbidden(bucket, web):
    for address, match in {
        "s3://plant/none.csv": "nothing at 's3://plant/none.csv'",
        "s3://nobucket/none.csv": "nothing at|cannot be read",
        f"{web}/none.csv": "does not exist .the server says 404",
        f"{web}/secret.csv": "is not for everybody",
        f"{web}/": "names no file",
        "gopher://x/y.csv": "cannot be read|is of kind",
    }.items():
        with pytest.raises((DataError, ConfigError), match=match):
            local_path(address)


def test_a_torn_transfer_keeps_nothing(web, tmp_path):
    with pytest.raises(DataError, match=r"torn\.csv' (broke off|cannot be read)"):
        local_path(f"{web}/torn.csv")
    assert not [path for path in (tmp_path / "stores").rglob("*") if path.is_file()]


def test_a_store_that_does_not_answer_ends_soon(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        began = time.monotonic()
        with pytest.raises(DataError, match="cannot be read"):
            local_path("s3://plant/x.csv")
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    "address", ["s3://key:secret@plant/x.csv", "https://h/x.csv?X-Amz-Signature=secret", "https://h/x.csv?sig=secret"]
)
def test_secrets_in_an_address_are_refused_and_not_repeated(address):
    with pytest.raises(ConfigError, match="configurations and logs") as refusal:
        local_path(address)
    assert "secret" not in str(refusal.value).replace("AWS_SECRET", "").replace("_SECRET", "")


def test_labels_of_a_folder_may_lie_in_a_store(bucket):
    for unit in range(4):
        rows = "t,a\n" + "".join(f"{t},{t + unit}\n" for t in range(30))
        bucket.put_object(Bucket="plant", Key=f"cuts/cut_{unit}.csv", Body=rows.encode())
    labels = "name,kind\n" + "".join(f"cut_{unit},{'ab'[unit % 2]}\n" for unit in range(4))
    bucket.put_object(Bucket="plant", Key="labels.csv", Body=labels.encode())
    data = {"source": "table", "path": "s3://plant/cuts", "labels": "s3://plant/labels.csv", "targets": ["kind"]}
    series = read_series(config.from_dict({"data": {**data, "unit": "file", "time": "t"}}).data)
    assert series.schema.classes == ("a", "b") and series.n_units == 4


def test_what_changes_while_it_is_copied_is_not_kept(bucket, monkeypatch, tmp_path):
    bucket.put_object(Bucket="plant", Key="moving.csv", Body=ROWS.encode())
    once, listings = remote._members, iter(range(9))
    monkeypatch.setattr(
        remote,
        "_members",
        lambda store, path: [dataclasses.replace(one, version=str(next(listings))) for one in once(store, path)],
    )
    with pytest.raises(DataError, match="changes while it is copied"):
        local_path("s3://plant/moving.csv")
    assert not [path for path in (tmp_path / "stores").rglob("*") if path.is_file()]


def test_copies_of_older_versions_go_after_a_week_unused(web):
    old = local_path(f"{web}/d/log.csv")
    Files.content["/d/log.csv"] = ROWS.replace(",39\n", ",77\n").encode()
    new = local_path(f"{web}/d/log.csv")
    assert old.exists() and new.exists() and old != new
    os.utime(old.parent, (1, 1))
    assert local_path(f"{web}/d/log.csv") == new and not old.exists()
