"""One test of many small cases: all are checked, and those that fail are told together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def check_each(check: Callable[..., Any], cases: Iterable[Any]) -> None:
    """Call ``check`` with each case (a tuple: its arguments); fails with one paragraph for each that did not hold."""
    failures = []
    for case in cases:
        try:
            check(*case) if isinstance(case, tuple) else check(case)
        except (Exception, SystemExit, pytest.fail.Exception) as error:
            failures.append(f"{case}: {type(error).__name__}: {error}")
    assert not failures, f"{len(failures)} cases:\n" + "\n".join(failures)
