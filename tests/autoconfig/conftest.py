"""A folder of its own for every run of ``keras_seq.init``."""

from __future__ import annotations

import pytest

from keras_seq.commands import init


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: an empty one; nothing is tried out unless a test asks for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(init, "MINUTES", 0.0)
    return tmp_path
