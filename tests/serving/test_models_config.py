"""Which models a server has, which of their folders are versions, and what is wrong with a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_seq.errors import ConfigError
from serving.contract.status import Code, Refused
from serving.models.batching import BatchingParameters, Monitoring, read_batching, read_monitoring
from serving.models.config import folder_config, one_model, parse_config, read_config
from serving.models.policy import VersionPolicy, find_models, find_versions, version_number
from serving.models.records import masked_crc, read_records, write_records


def model(more: str = "", *, name: str = "m", base: str = "/models/m", platform: str = "tensorflow") -> str:
    return f"config {{ name: '{name}' base_path: '{base}' model_platform: '{platform}' {more} }}"


def config(*models: str) -> str:
    return f"model_config_list {{ {' '.join(models)} }}"


def test_a_config_file_says_all_of_a_model(tmp_path: Path) -> None:
    text = config(
        model("model_version_policy { specific { versions: 7 versions: 2 } }"),
        model("model_version_policy { latest { num_versions: 3 } }", name="n"),
        model("model_version_policy { all {} } version_labels { key: 'stable' value: 1 }", name="o"),
        model(name="p"),
    )
    file = tmp_path / "models.config"
    file.write_text(f"# comments are allowed\n{text}")
    m, n, o, p = read_config(file).models
    assert (m.name, m.base_path, m.policy) == ("m", Path("/models/m"), VersionPolicy(specific=(2, 7)))
    assert n.policy == VersionPolicy(latest=3) and o.policy == VersionPolicy(all=True) and p.policy == VersionPolicy()
    assert dict(o.labels) == {"stable": 1}
    assert parse_config("").models == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (config(model(), model()), "Illegal to list model m multiple times in config list"),
        (config(model(base="m")), "Expected model m to have an absolute path or URI; got base_path()=m"),
        (config("config { name: 'm' model_platform: 'tensorflow' }"), "got base_path()="),
        (config(model(base="/a/../etc")), "without '..'"),
        (config(model(base="gs://bucket/m")), "remote base path gs://bucket/m"),
        (config(model(platform="torch")), "Model m requests unsupported platform torch"),
        (config("config { name: 'm' base_path: '/m' }"), "Illegal setting neither ModelServerConfig::model_type"),
        (config(model("model_type: TENSORFLOW")), "Illegal setting both ModelServerConfig::model_type"),
        (config(model("model_type: OTHER", platform="")), "model_type choice 2 not supported"),
        (config(model(name="")), "has no name"),
        (config(model("model_version_policy { specific {} }")), "'specific' without versions"),
        ("model_config_list {\n  config { nme: 'm' }\n}", 'line 2, column 12: Message type "tensorflow.serving.Model'),
        ("model_config_list {", "line 1"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        parse_config(text)
    assert refused.value.code is Code.INVALID_ARGUMENT and message in refused.value.message
    file = tmp_path / "models.config"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_config(file)
    assert str(file) in str(error.value) and message in str(error.value)


def test_a_config_file_must_be_readable_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "absent")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="byte 0 is not UTF-8"):
        read_config(tmp_path / "bytes")


def test_one_model_is_named_on_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (made,) = one_model("m", "saved_models/m").models
    assert made.base_path == tmp_path / "saved_models" / "m"
    for path in ("", "s3://bucket/m"):
        with pytest.raises(ConfigError, match="--model_base_path"):
            one_model("m", path)


@pytest.mark.parametrize(
    ("name", "number"),
    [("1", 1), ("007", 7), ("+3", 3), ("-3", -3), (" 12 ", 12), ("9223372036854775807", 2**63 - 1)]
    + [(name, None) for name in (".5", "1.0", "v2", "", "1_000", "9223372036854775808", "2.partial", "٣", "1 2", "+")],
)
def test_names_of_versions_are_whole_numbers(name: str, number: int | None) -> None:
    assert version_number(name) == number


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 30))
def test_any_number_of_64_bits_is_a_version(number: int, zeros: int) -> None:
    sign, digits = ("-", str(-number)) if number < 0 else ("", str(number))
    assert version_number(f"{sign}{'0' * zeros}{digits}") == number


def test_only_folders_below_the_base_path_are_versions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base, outside = tmp_path / "m", tmp_path / "outside"
    outside.mkdir()
    for name in ("1", "2", "003", ".partial-4", "notes"):
        (base / name).mkdir(parents=True)
    (base / "9").write_text("a file")
    (base / "8").symlink_to(outside)
    (base / "7").symlink_to(base / "2")
    assert find_versions(base) == {1: base / "1", 2: base / "2", 3: base / "003", 7: base / "7"}
    assert "is a link that leaves" in caplog.text and "is no folder" in caplog.text
    with pytest.raises(OSError):
        find_versions(tmp_path / "absent")


def test_policies_choose_versions(caplog: pytest.LogCaptureFixture) -> None:
    found = {number: Path(str(number)) for number in (1, 5, 3)}
    assert list(VersionPolicy().choose(found)) == [5]
    assert list(VersionPolicy(latest=2).choose(found)) == [5, 3]
    assert set(VersionPolicy(all=True).choose(found)) == {1, 3, 5}
    assert list(VersionPolicy(specific=(3, 4)).choose(found, "m")) == [3]
    assert "Version 4 of servable m" in caplog.text
    assert VersionPolicy().choose({}) == {}


def test_folders_with_versions_are_models(tmp_path: Path) -> None:
    for name in ("b/1", "a/2", "empty", ".hidden/1", "files"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "files" / "1").write_text("")
    assert list(find_models(tmp_path)) == ["a", "b"]
    assert [made.name for made in folder_config(tmp_path).models] == ["a", "b"]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "parameters.txt"
        path.write_text(text)
        return path

    return write


def test_batching_parameters_are_read(written: Callable[[str], Path]) -> None:
    text = """max_batch_size { value: 32 } batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 100 }
      num_batch_threads { value: 2 } pad_variable_length_inputs: true thread_pool_name { value: "pool" }
      allowed_batch_sizes: 8 allowed_batch_sizes: 32"""
    found = read_batching(written(text))
    assert found == BatchingParameters(32, 2000, 100, 2, True, (8, 32))
    assert read_batching(written("")) == BatchingParameters()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "'max_batch_size' is 0; it must be 1 or more"),
        ("num_batch_threads { value: 0 }", "'num_batch_threads' is 0"),
        ("batch_timeout_micros { value: -1 }", "'batch_timeout_micros' is -1"),
        ("allowed_batch_sizes: [4, 2]", "must be positive and increase"),
        ("max_batch_size { value: 32 } allowed_batch_sizes: 16", "must equal 'max_batch_size', which is 32"),
        ("\nmax_batch_siz { value: 3 }", "line 2, column 1"),
        ("enable_large_batch_splitting { value: true }", "does not have"),
    ],
)
def test_wrong_batching_parameters_are_named(text: str, message: str, written: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="batching_parameters_file") as error:
        read_batching(written(text))
    assert message in str(error.value)


def test_monitoring_is_read(written: Callable[[str], Path]) -> None:
    assert read_monitoring(written("prometheus_config { enable: true, path: '/m' }")) == Monitoring(True, "/m")
    assert read_monitoring(written("prometheus_config { enable: true }")).path == "/monitoring/prometheus/metrics"
    assert not read_monitoring(written("")).enable
    for text, message in (("prometheus_config { path: 'm' }", "must start with '/'"), ("x: 1", "line 1")):
        with pytest.raises(ConfigError, match="monitoring_config_file") as error:
            read_monitoring(written(text))
        assert message in str(error.value)


def test_checksums_are_castagnoli_s() -> None:
    # RFC 3720, B.4: 32 zeros have 0x8A9136AA, 32 bytes of 0xFF have 0x62A8AB43
    for content, crc in ((b"\0" * 32, 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)):
        assert masked_crc(content) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@given(st.lists(st.binary(max_size=50), max_size=5), st.data())
def test_records_come_back_and_broken_ones_are_found(tmp_path_factory: Any, records: list[bytes], data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "records"
    write_records(path, records)
    assert list(read_records(path)) == records
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    if len(content):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content.tobytes())
        with pytest.raises(Refused) as refused:
            list(read_records(path))
        assert refused.value.code is Code.DATA_LOSS
