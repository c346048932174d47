"""``python -m keras_seq.data``: listing, checking and fetching."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from keras_seq.commands.data import main, state
from keras_seq.data.fetch import fetch
from keras_seq.data.sources.registry import Download, known_sources
from keras_seq.errors import ConfigError, DataError
from keras_seq.files import sha256

# --- fetching


def test_downloads_are_the_files_known(data_home):
    """The checksums in the table are those of the real files."""
    for name, info in known_sources().items():
        files = info.downloads
        known = {*info.files_of(), *({"vix.csv", "wti.csv"} if name == "market" else ())}
        assert {file.name for file in files} <= known
        for file in files:
            assert sha256(data_home / info.folder / file.name) == file.sha256


@pytest.fixture
def server(tmp_path):
    """A loopback file server over ``tmp_path / 'served'``; its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()


def entry(content: bytes, url: str) -> Download:
    return Download("us_gasoline.csv", url, hashlib.sha256(content).hexdigest(), len(content))


def test_fetch_checks_unpacks_and_keeps(server, tmp_path):
    folder, address = server
    content = b"Week,Gasoline\n" + b"04/30/2021,8864\n" * 50_000
    (folder / "g.csv.gz").write_bytes(gzip.compress(content))
    home, told = str(tmp_path / "home"), []
    files = (entry(content, f"{address}/g.csv.gz"),)
    (path,) = fetch("gasoline", home, downloads=files, tell=told.append)
    assert path.read_bytes() == content and "fetched" in told[-1]
    (folder / "g.csv.gz").unlink()
    fetch("gasoline", home, downloads=files, tell=told.append)
    assert "there already" in told[-1]
    assert [p.name for p in path.parent.iterdir()] == ["us_gasoline.csv"]


@pytest.mark.parametrize("served", [b"another", b"right but longer", b"", None])
def test_fetch_keeps_nothing_that_is_wrong(server, tmp_path, served):
    folder, address = server
    if served is not None:
        (folder / "g.csv").write_bytes(served)
    home = tmp_path / "home"
    match = "cannot be fetched" if served is None else "expected 5 bytes"
    with pytest.raises(DataError, match=match):
        fetch("gasoline", str(home), downloads=(entry(b"right", f"{address}/g.csv"),))
    assert list((home / "us_gasoline").iterdir()) == []


def test_fetch_offline_says_what_to_do(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as closed:
        address = f"http://127.0.0.1:{closed.server_address[1]}/g.csv"
    with pytest.raises(DataError, match=r"cannot be fetched \(.*Check the network, or put 'us_gasoline.csv' into"):
        fetch("gasoline", str(tmp_path), downloads=(entry(b"x", address),))


@pytest.mark.parametrize(("name", "match"), [("wafer", "no public place"), ("co2", "embedded"), ("table", "your own")])
def test_nothing_to_fetch(tmp_path, name, match):
    with pytest.raises(DataError, match=match):
        fetch(name, str(tmp_path))


# --- the command line


def test_state(tmp_path):
    sources = known_sources()
    assert state(sources["co2"], tmp_path) == "embedded"
    assert state(sources["gasoline"], tmp_path) == "missing"
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "sp500.csv").touch()
    assert state(sources["market"], tmp_path) == "found: sp500"
    (tmp_path / "market" / "nasdaq.csv").touch()
    assert state(sources["market"], tmp_path) == "found"


def test_list_names_every_source(tmp_path, capsys):
    assert main(["--home", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in known_sources()) and str(tmp_path) in listed


def test_check_prints_statistics_and_quality(capsys):
    assert main(["check", "--source", "co2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["statistics"]["rows"] == 2284 and report["statistics"]["columns"]["co2"]["missing"] == 59
    assert report["quality"]["errors"] == 0


def test_check_of_a_bad_file_leaves_with_2(tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text("unit,at,x,y\na,1,1,0\na,1,inf,1\na,2,2,0\nb,2,3,0\nb,1,4,1\n")
    assert main(["check", "--path", str(path), "--unit", "unit", "--data.time", "at", "--targets", "[y]"]) == 2
    text = capsys.readouterr().out
    for rule in ("[infinite] column 'x', unit 'a', row 2", "[duplicate time] unit 'a', row 2", "[time order] unit 'b'"):
        assert rule in text


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["chek"], "Unknown command 'chek'; did you mean 'check'"),
        (["check", "--source", "cmaps"], "did you mean 'cmapss'"),
        (["check", "--sourc", "co2"], "Unknown option 'data.sourc'; did you mean 'source'"),
        (["fetch"], "needs the name of a source"),
        (["--hom", "x"], "takes --home FOLDER only"),
    ],
)
def test_bad_command(argv, match):
    with pytest.raises(ConfigError, match=match):
        main(argv)


def test_check_looks_at_the_parts_of_a_split_that_is_named(tmp_path, capsys):
    rows = np.arange(200)
    noise = np.random.default_rng(0).normal(size=(200, 2))
    frame = pd.DataFrame({"t": rows, "x": noise[:, 0], "y": noise[:, 1], "still": np.where(rows < 150, 0.0, 500.0)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    words = ["check", "--path", str(tmp_path / "t.csv"), "--time", "t", "--targets", "[y]"]
    assert main(words) == 0
    assert "constant in train" not in capsys.readouterr().out
    by_time = ["--data.split.by", "time", "--windows.mode", "sliding", "--windows.length", "5"]
    assert main([*words, *by_time]) == 0
    assert "column 'still': is always 0 in the train part but" in capsys.readouterr().out
    assert main([*words, *by_time, "--data.split.test", "199"]) == 2
    assert "too few to be cut in time" in capsys.readouterr().out


def test_formats_are_those_that_registered(capsys):
    from keras_seq.data.formats import known_formats

    assert main(["formats", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["formats"]
    assert [row["name"] for row in rows] == ["csv", "parquet", *known_formats()]
    workbook = next(row for row in rows if row["name"] == "workbook")
    assert workbook["extra"] == "excel" and workbook["options"] == ["data.sheet", "data.header_row", "data.skip_footer"]
    assert main(["formats"]) == 0 and "keras-seq[excel]" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="takes no options, got '--home'"):
        main(["formats", "--home", "x"])
