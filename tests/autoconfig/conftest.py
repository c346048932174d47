"""A folder of its own for every run of ``keras_seq.init``."""

from __future__ import annotations

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
