from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from keras_seq import files
from keras_seq.errors import OutputError


def test_new_folder_appears_complete_or_not_at_all(tmp_path):
    target = tmp_path / "1"
    with pytest.raises(ZeroDivisionError), files.new_folder(target) as partial:
        (partial / "half").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with files.new_folder(target) as partial:
        assert not target.exists()
        (partial / "whole").write_text("x")
    assert [path.name for path in target.iterdir()] == ["whole"]


def test_existing_folder_is_refused_or_replaced(tmp_path):
    target = tmp_path / "1"
    target.mkdir()
    (target / "old").write_text("x")
    with pytest.raises(OutputError, match="exists already"), files.new_folder(target):
        pass
    with files.new_folder(target, replace=True) as partial:
        (partial / "new").write_text("y")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_killed_writer_leaves_no_final_folder(tmp_path):
    code = (
        "import os, signal, sys; from keras_seq import files\n"
        f"with files.new_folder({str(tmp_path / '1')!r}) as p:\n"
        "    (p / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    names = [path.name for path in tmp_path.iterdir()]
    assert names and all(name.startswith(".") and not name.isdigit() for name in names)


def test_text_and_json(tmp_path):
    import numpy as np

    path = files.write_json(tmp_path / "deep" / "a.json", {"x": np.float32(0.5), "y": np.arange(2)})
    assert files.read_json(path) == {"x": 0.5, "y": [0, 1]}
    assert [item.name for item in path.parent.iterdir()] == ["a.json"]
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "b.json", object())


@pytest.mark.parametrize("folder", ["/proc/keras_seq", "/dev/null/x"])
def test_unwritable_folder_is_named(folder):
    with pytest.raises(OutputError, match=folder):
        files.ensure_writable(folder)


def test_too_little_space_is_said(tmp_path):
    with pytest.raises(OutputError, match="MB free"):
        files.ensure_writable(tmp_path, need_mb=2**40)


def test_unwritable_file_is_named():
    with pytest.raises(OutputError, match="cannot be written"):
        files.write_text("/proc/nothing/here.txt", "x")


def test_sha256(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert files.sha256(path).startswith("ba7816bf")
    assert os.path.getsize(path) == 3
