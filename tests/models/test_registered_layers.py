"""A bundle loads in a process that has built nothing: layers of our own are registered by what the loader imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras_seq.models


def test_the_loader_registers_every_layer() -> None:
    folder = Path(keras_seq.models.__file__).parent
    own = [path.stem for path in sorted(folder.glob("*.py")) if "\n@package" in path.read_text(encoding="utf-8")]
    assert "rocket_features" in own and "preprocess" in own
    code = (
        "import sys\nimport keras_seq.models.assembly\n"
        f"missing = [name for name in {own} if 'keras_seq.models.' + name not in sys.modules]\n"
        "raise SystemExit(f'not registered: {missing}' if missing else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
