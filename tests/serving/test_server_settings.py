"""Flags of python -m serving: TensorFlow Serving's own, ours, and what is refused."""

import subprocess
import sys

import pytest

from keras_seq.errors import ConfigError, ServingError
from serving.server.tls import is_allowed, read_tls, read_token
from serving.settings import MEANINGLESS, Settings, describe, parse


def test_flags_are_read_as_the_real_server_reads_them():
    found = parse(
        ["--rest_api_port=1234", "--model_name", "m", "--enable_batching", "--enable_model_warmup=false", "--port", "0"]
        + ["--file_system_poll_wait_seconds=0.5", "--rest_api_enable_cors_support", "true", "-model_base_path=/m"]
    )
    assert (found.rest_api_port, found.model_name, found.port, found.model_base_path) == (1234, "m", 0, "/m")
    assert found.enable_batching and not found.enable_model_warmup and found.rest_api_enable_cors_support
    assert found.file_system_poll_wait_seconds == 0.5
    assert "--enable_batching=true" in found.given and "--model_name=m" in found.given


def test_defaults_are_the_real_servers():
    found = Settings()
    assert (found.port, found.rest_api_port, found.rest_api_timeout_in_ms) == (8500, 8501, 30000)
    assert found.file_system_poll_wait_seconds == 1 and found.max_num_load_retries == 5 and found.is_loopback


def test_flags_without_meaning_are_accepted_with_a_line(capsys):
    found = parse(["--per_process_gpu_memory_fraction=0.5", "--flush_filesystem_caches", "--rest_api_port=1"])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "per_process_gpu_memory_fraction" in said[0] and found.rest_api_port == 1
    assert "--per_process_gpu_memory_fraction=0.5" in found.given


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--enable_bathing"], "did you mean 'enable_batching'"),
        (["--rest_api_port=x"], "whole number"),
        (["--rest_api_port"], "needs a value"),
        (["models"], "Unexpected argument 'models'"),
        (["--enable_batching=maybe"], "true or"),
        (["--rest_api_port=70000"], "65535"),
        (["--rest_api_port=1", "--port=1"], "both 1"),
        (["--rest_api_port=0", "--port=0"], "nothing would listen"),
        (["--workers=0"], "more than 0"),
        (["--max_queue=-1"], "0 or more"),
        (["--backend=dokcer"], "did you mean 'docker'"),
        (["--extras_prefix=x"], "start with '/'"),
        (["--extras_prefix=/v1/x"], "outside /v1"),
        (["--host=0.0.0.0"], "--insecure"),
        (["--host=::"], "--insecure"),
    ],
)
def test_mistakes_name_the_flag_and_the_way_out(words, says):
    with pytest.raises(ConfigError, match=says):
        parse(words)


@pytest.mark.parametrize(
    "words", [["--insecure"], ["--token_file=/t"], ["--ssl_config_file=/s"]], ids=lambda words: words[0]
)
def test_other_addresses_need_protection_or_a_word(words):
    assert not parse(["--host=0.0.0.0", *words]).is_loopback
    assert parse(["--host=::1"]).is_loopback and parse(["--host=localhost"]).is_loopback


def test_help_names_every_flag_and_is_quick():
    text = describe()
    for name in [*MEANINGLESS, "model_config_file", "max_body_mb"]:
        assert name in text
    code = "import sys, serving.__main__ as m; m.main(['--help']); "
    code += "assert not {'tensorflow', 'numpy', 'grpc'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "--rest_api_port" in done.stdout, done.stderr


def test_a_taken_port_is_one_paragraph():
    import socket

    from serving.server.supervisor import Supervisor

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"--rest_api_port is {port}"):
            Supervisor(Settings(rest_api_port=port, port=0))
        with pytest.raises(ServingError, match=f"--port is {port}"):
            Supervisor(Settings(rest_api_port=0, port=port))


def test_tokens_must_be_long_and_are_compared_whole(tmp_path):
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    token = read_token(str(file))
    assert is_allowed(token, b"Bearer 0123456789abcdef") and is_allowed(token, b"bearer  0123456789abcdef")
    for given in (b"", b"Bearer", b"Bearer 0123456789abcde", b"Basic 0123456789abcdef", b"0123456789abcdef"):
        assert not is_allowed(token, given)
    for bad in ("short", "two words of sixteen", ""):
        file.write_text(bad)
        with pytest.raises(ConfigError, match="token_file"):
            read_token(str(file))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(str(tmp_path / "none"))


def test_tls_files_that_cannot_be_used_are_named(tmp_path):
    file = tmp_path / "ssl.config"
    file.write_text("server_key: 'k'")
    with pytest.raises(ConfigError, match="server_cert"):
        read_tls(str(file))
    file.write_text("nonsense: 1")
    with pytest.raises(ConfigError, match="line 1"):
        read_tls(str(file))
    file.write_text("server_key: 'k' server_cert: 'c'")
    with pytest.raises(ConfigError, match="cannot be used"):
        read_tls(str(file)).context()
