"""XLA options: set where the processor has AVX-512, never over what the user asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_seq.models.xla_flags import has_avx512, prepare_environment


@pytest.fixture
def cpuinfo(tmp_path: Path) -> tuple[Path, Path]:
    """Two processors: with AVX-512 and without."""
    files = tmp_path / "with", tmp_path / "without"
    for file, extra in zip(files, (" avx512f avx512vl", ""), strict=True):
        file.write_text(f"processor\t: 0\nmodel name\t: avx512f fan\nflags\t\t: fpu sse2 avx2{extra}\n")
    return files


def test_the_processor_is_read(cpuinfo: tuple[Path, Path], tmp_path: Path) -> None:
    assert has_avx512(cpuinfo[0])
    assert not has_avx512(cpuinfo[1])
    assert not has_avx512(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "--xla_cpu_prefer_vector_width=512"),
        ("--xla_dump_to=/x", "--xla_dump_to=/x --xla_cpu_prefer_vector_width=512"),
        ("--xla_cpu_prefer_vector_width=256", "--xla_cpu_prefer_vector_width=256"),
    ],
)
def test_the_user_wins(
    before: str | None, after: str, cpuinfo: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    if before is not None:
        monkeypatch.setenv("XLA_FLAGS", before)
    assert prepare_environment(cpuinfo[1]) == (before or "")
    assert prepare_environment(cpuinfo[0]) == after == os.environ["XLA_FLAGS"]
    assert prepare_environment(cpuinfo[0]) == after


@pytest.mark.slow
def test_the_option_is_one_that_xla_knows_and_reads_after_the_import() -> None:
    """XLA aborts on options it does not know, so this tells that ours is known and that the call is in time."""
    code = (
        "import os, sys, tensorflow as tf\n"
        "os.environ['XLA_FLAGS'] = sys.argv[1]\n"
        "print(float(tf.function(lambda x: x + 1, jit_compile=True)(tf.constant(1.0))))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, flags], capture_output=True, text=True, timeout=120, check=False)
        for flags in ("--xla_cpu_prefer_vector_width=512", "--xla_no_such_option=1")
    ]
    assert runs[0].returncode == 0 and runs[0].stdout.strip() == "2.0"
    assert runs[1].returncode != 0 and "xla_no_such_option" in runs[1].stderr
