"""Shared fixtures: real data are read in place from the data home; without them tests skip and say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from keras_seq.commands import init

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("shared", deadline=None)  # a busy machine is no failure
settings.load_profile("shared")

REAL_SETS = ("cmapss", "wafer_mts", "jvowels", "us_gasoline", "ett", "market")


@pytest.fixture(autouse=True)
def _no_pilots(monkeypatch: pytest.MonkeyPatch) -> None:
    """``init`` tries nothing out, which takes minutes, unless a test asks for it with ``--budget``."""
    monkeypatch.setattr(init, "MINUTES", 0.0)


@pytest.fixture(scope="session")
def data_home() -> Path:
    """Folder of the real data sets; skips where it is not there."""
    home = Path(os.environ.get("KERAS_SEQ_DATA", Path.home() / ".cache" / "keras_seq"))
    missing = [name for name in REAL_SETS if not (home / name).is_dir()]
    if missing:
        reason = f"real data sets {missing} are not under the data home {home} (set KERAS_SEQ_DATA)"
        if os.environ.get("KERAS_SEQ_REQUIRE_DATA"):  # continuous integration with the data at hand
            pytest.fail(reason)
        pytest.skip(reason)
    return home
