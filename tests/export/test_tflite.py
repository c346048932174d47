"""TFLite files of a bundle, converted and run in processes of their own."""

from __future__ import annotations

import pytest

from keras_seq.errors import ExportError
from keras_seq.export.parity import check_parity
from keras_seq.export.tflite import operations, write_tflite
from tests.factories.exports import co2_bundle, co2_windows, exported


@pytest.mark.slow
def test_layers_are_fused_and_answers_agree():
    path = exported("tflite")
    nodes = operations(path.read_bytes())
    assert nodes["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 1 and "WHILE" not in nodes
    report = check_parity(co2_bundle(), co2_windows(), {"tflite": path})
    assert report.passed, report.reasons


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["float16", "dynamic", "int8"])
def test_rounded_weights_stay_close(mode):
    path = exported(f"tflite-{mode}")
    report = check_parity(co2_bundle(), co2_windows(), {f"tflite-{mode}": path})
    assert report.passed, report.reasons


def test_modes_are_checked_before_work(tmp_path):
    with pytest.raises(ExportError, match="no mode 'int4'; did you mean 'int8'"):
        write_tflite(co2_bundle(), tmp_path / "a.tflite", mode="int4")
    with pytest.raises(ExportError, match="real training windows"):
        write_tflite(co2_bundle(), tmp_path / "a.tflite", mode="int8")
    assert not list(tmp_path.iterdir())
