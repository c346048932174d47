"""Examples run as they are shipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.nightly
def test_own_csv(tmp_path):
    command = [sys.executable, ROOT / "examples/own_csv.py", tmp_path / "study"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    assert "lstm/seed-0 has the best rmse" in found.stdout
    assert "weekly,2001-12-29,4," in found.stdout
    assert (tmp_path / "study/runs/comparison/comparison.png").exists()
