"""The known sets, loaded once for all tests of this folder that go over them."""

from __future__ import annotations

import pytest

from keras_seq.config import DataConfig
from keras_seq.data.sources import load_series

KNOWN = ("cmapss/FD001", "cmapss/FD002", "wafer", "jvowels", "gasoline", "ett", "market", "co2", "caster")


@pytest.fixture(scope="session", params=KNOWN)
def known_set(request, data_home):
    """The series of each known set."""
    source, _, subset = request.param.partition("/")
    return load_series(DataConfig(source=source, subset=subset or None, home=str(data_home)))
