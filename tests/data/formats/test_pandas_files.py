"""Files of Stata as tables; SAS by the same few lines."""

from __future__ import annotations


def test_stata(same, frame, tmp_path):
    frame.astype({"on": "int8", "pump": "category"}).to_stata(tmp_path / "a.dta", write_index=False)
    same(tmp_path / "a.dta")
