"""Passwords, tokens and keys are used, and appear nowhere else."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq import config, tracking
from keras_seq.config.secret import VARIABLE, keep_password, with_password
from keras_seq.errors import HIDDEN, ConfigError, KerasSeqError, find_passwords, hide_passwords
from tests.factories.commands import run_commands
from tests.factories.experiments import caster_tree

SECRET = "hunter2secret"
URI = f"postgresql://lab:{SECRET}@db.example/runs"
words = st.text("abcXYZ019-._~%!$*+,;=", min_size=1, max_size=12).filter(lambda word: word != HIDDEN)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """The variable as it was, and no long waits for servers that are not there."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    yield
    os.environ.pop(VARIABLE, None)


@given(words, words, st.sampled_from(["postgresql", "mysql+pymysql", "https"]))
def test_the_password_of_a_uri_is_hidden(user, password, scheme):
    uri = f"{scheme}://{user}:{password}@db.example:5432/runs?sslmode=require"
    text = f"The store '{uri}' cannot be opened."
    assert hide_passwords(text) == text.replace(f":{password}@", f":{HIDDEN}@")
    assert find_passwords(text) == {password}
    assert hide_passwords(hide_passwords(text)) == hide_passwords(text)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("x://u:p@ss@h/d", "x://u:***@h/d"),
        ("x://:only@h", "x://:***@h"),
        ("x://h/d?user=u&password=abc&a=1", "x://h/d?user=u&password=***&a=1"),
        ("x://h/d?sslpassword=abc", "x://h/d?sslpassword=***"),
        ("x://h?API_KEY=abc", "x://h?API_KEY=***"),
    ],
)
def test_other_places_in_a_uri(text, hidden):
    assert hide_passwords(text) == hidden


@pytest.mark.parametrize(
    "text", ["sqlite:////tmp/a.db", "http://127.0.0.1:5000", "http://h:80/a?b=c", "a:b@c", "see docs/x.md: a@b", ""]
)
def test_what_holds_no_password_stays(text):
    assert hide_passwords(text) == text and not find_passwords(text)


def experiment(uri=URI, **changes):
    return config.from_dict(caster_tree(**{"tracking.uri": uri, **changes}))


def test_an_experiment_never_holds_it(monkeypatch):
    found = experiment()
    for text in (
        config.to_yaml(found),
        repr(found),
        str(found),
        found.model_dump_json(),
        json.dumps(config.to_dict(found)),
    ):
        assert SECRET not in text
    assert config.from_dict(config.to_dict(found)) == found
    assert with_password(found.tracking.uri) == URI
    assert with_password(config.replace(found, seed=3).tracking.uri) == URI
    read_again = config.from_dict(config.to_dict(found))  # as by a later process, from a bundle
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigError, match=VARIABLE):
        with_password(read_again.tracking.uri)
    monkeypatch.setenv(VARIABLE, "other@word")
    assert with_password(read_again.tracking.uri) == URI.replace(SECRET, "other%40word")


def test_processes_started_from_here_get_it():
    kept = experiment().tracking.uri
    code = f"from keras_seq.config.secret import with_password; print(with_password({kept!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == URI


def test_a_uri_without_a_password_is_left_alone():
    for uri in ("sqlite:///mlflow.db", "http://127.0.0.1:5000", "postgresql://lab@db.example/runs"):
        assert keep_password(uri) == uri == with_password(uri) and VARIABLE not in os.environ


def test_two_passwords_are_refused_and_not_shown():
    with pytest.raises(ConfigError, match="more than one password") as error:
        experiment(f"postgresql://u:{SECRET}@h/d?sslpassword=another1")
    assert SECRET not in str(error.value) and "another1" not in str(error.value)


@pytest.mark.parametrize("key", ["tracking.backend", "tracking.uri", "tracking.log_model", "seed", "data.source.x"])
def test_complaints_about_options_do_not_show_it(key):
    with pytest.raises(ConfigError) as error:
        experiment(**{"tracking.uri": "sqlite:///x", key: [URI]})
    assert SECRET not in str(error.value)


STORES = [
    URI.replace("db.example", "127.0.0.1:1"),
    f"mysql+pymysql://lab:{SECRET}@127.0.0.1:1/runs",
    f"http://lab:{SECRET}@127.0.0.1:1",
    f"nonsense://lab:{SECRET}@127.0.0.1:1",
    f"postgresql://127.0.0.1:1/runs?user=lab&password={SECRET}",
    f"sqlite://lab:{SECRET}@/x.db",
]


@pytest.mark.parametrize("uri", STORES, ids=lambda uri: uri.partition(":")[0])
@pytest.mark.parametrize("how", ["track", "connect", "open_store"])
def test_a_store_that_cannot_be_opened_does_not_tell(uri, how, tmp_path, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    given = experiment(uri, **{"output": str(tmp_path)})

    def ask():
        if how == "track":
            with tracking.track(given, run_name="r"):
                pass
        elif how == "connect":
            tracking.connect(given)
        else:
            tracking.open_store(uri)

    with pytest.raises(Exception) as error:  # connect passes on what the driver raises
        ask()
    told = capsys.readouterr()
    for text in (str(error.value), told.out, told.err, caplog.text):
        assert SECRET not in text
    assert how == "connect" or isinstance(error.value, ConfigError)


def test_every_error_of_ours_hides_it():
    for kind in (KerasSeqError, *KerasSeqError.__subclasses__()):
        assert str(kind(f"'{URI}' is wrong")) == f"'{URI.replace(SECRET, HIDDEN)}' is wrong"


def test_keys_of_the_server_are_not_shown(tmp_path):
    from serving.server.tls import Tls, read_tls, read_token

    assert SECRET not in repr(Tls(SECRET, "certificate"))
    path = tmp_path / "tls.txt"
    for text in (f"server_key: {SECRET}", f'server_key: "{SECRET}" server_cert {SECRET}', f'server_key: "{SECRET}'):
        path.write_text(text)
        with pytest.raises(ConfigError) as error:
            read_tls(str(path))
        assert SECRET not in str(error.value) and str(path) in str(error.value)
    path.write_text(f'server_key: "{SECRET}" server_cert: "{SECRET}"')
    with pytest.raises(ConfigError, match="PEM") as error:
        read_tls(str(path)).context()
    assert SECRET not in str(error.value)
    path.write_text(f"{SECRET} {SECRET}")
    with pytest.raises(ConfigError, match="one word") as error:
        read_token(str(path))
    assert SECRET not in str(error.value)


def test_tokens_are_not_shown_by_clients_and_jobs(tmp_path):
    from serving.client import Client, Retry
    from serving.retrain.job import RetrainRequest

    client = Client("http://127.0.0.1:1", token=SECRET, timeout=1, retry=Retry(attempts=1))
    with pytest.raises(KerasSeqError) as error:
        client.status("m")
    assert SECRET not in str(error.value) + repr(client)
    assert SECRET not in repr(RetrainRequest(model="m", base=tmp_path, work=tmp_path, token=SECRET))


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_real_run_leaves_it_nowhere(tmp_path):
    """Train, judge, export, report and ask the store, each as a user does; then search all that was written."""
    uri = f"sqlite:///file:{tmp_path}/runs.db?uri=true&password={SECRET}"  # SQLite passes over what it does not know
    (tmp_path / "small.yaml").write_text(
        config.to_yaml(config.from_dict(caster_tree(160, 110, **{"training": {"epochs": 1}})))
    )
    bundle = str(tmp_path / "runs/caster/seed-0")
    environment = os.environ | {
        "MLFLOW_TRACKING_PASSWORD": "environment1secret",
        "KERAS_SEQ_TOKEN": "environment2secret",
        "OMP_NUM_THREADS": "1",
    }
    steps = {
        "train": f"--config small.yaml --tracking.uri {uri}",
        "evaluate": bundle,
        "export": f"{bundle} --formats saved_model,onnx --tracking.uri {uri}",
        "report": bundle,
        "status": f"--uri {uri}",
    }
    commands = [f"keras_seq.{name} {words}" for name, words in steps.items()]
    outcomes, errors = run_commands(commands, cwd=tmp_path, env=environment, timeout=1200)
    assert b"Traceback" not in errors
    assert not any(code for name, (code, _) in zip(steps, outcomes, strict=True) if name not in ("export", "status"))
    said = b"".join([*(out for _, out in outcomes), errors]).decode()
    assert (tmp_path / "runs.db").stat().st_size > 100_000  # it was recorded, with the whole URI
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 20
    for word in (SECRET, "environment1secret", "environment2secret"):
        assert word not in said
        assert not [path for path in written if word.encode() in path.read_bytes()]
