"""``keras_seq.init`` run in the current folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from keras_seq import config
from keras_seq.commands import init


def begin(table: pd.DataFrame | str | Path, *words: str) -> config.Experiment:
    """Run the command on a frame, a text or a file; the experiment that it wrote."""
    if isinstance(table, pd.DataFrame):
        table = table.to_csv(index=False)
    if "\n" in str(table):
        Path("table.csv").write_text(str(table), encoding="utf-8")
        table = "table.csv"
    assert init.main([str(table), "--out", "made.yaml", *words]) == 0
    return config.load("made.yaml")
