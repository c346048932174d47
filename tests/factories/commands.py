"""Several commands in one child process, where starting Python and TensorFlow for each would prove nothing more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

END = ";;;"
DRIVER = f"""
import runpy, sys
commands = [[]]
for word in sys.argv[1:]:
    commands[-1].append(word) if word != {END!r} else commands.append([])
for sys.argv in commands:
    code = 0
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    print({END!r}, code, flush=True)
"""


def run_commands(commands: Sequence[str], **options: Any) -> tuple[list[tuple[int, bytes]], bytes]:
    """``python -m`` each of the commands, one after the other in one process.

    Args:
        commands: module and words, with spaces between.
        options: of ``subprocess.run``.

    Returns:
        Exit code and standard output of each, and what all said on standard error.
    """
    words = f" {END} ".join(commands).split()
    done = subprocess.run([sys.executable, "-c", DRIVER, *words], capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    outcomes, said = [], b""
    for line in done.stdout.splitlines(keepends=True):
        before, end, code = line.partition(END.encode())
        said += before
        if end:
            outcomes.append((int(code), said))
            said = b""
    assert len(outcomes) == len(commands), done.stderr.decode("utf-8", "replace")[-3000:]
    return outcomes, done.stderr
