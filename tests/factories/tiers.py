"""When the cases of a grid run: some always, some on every commit, all of them every night."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def tiers(cases: Iterable[Any], *, quick: Collection[Any] = (), slow: Collection[Any] = ()) -> list[Any]:
    """Parameters of ``cases``: those of ``quick`` without a mark, those of ``slow`` marked so, the others nightly."""
    cases = list(cases)
    unknown = [case for case in (*quick, *slow) if case not in cases]
    assert not unknown, f"no such cases: {unknown}"
    return [_param(case, quick, slow) for case in cases]


def _param(case: Any, quick: Collection[Any], slow: Collection[Any]) -> Any:
    mark = pytest.mark.slow if case in slow else pytest.mark.nightly
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=() if case in quick else mark)
