from __future__ import annotations

import io

import pytest
from rich.console import Console

from keras_seq.training.progress import TrainingProgress, duration


def shown(*, terminal: bool, quiet: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, quiet=quiet)
    with TrainingProgress(3, 10, console=console) as progress:
        for epoch in (1, 2):
            progress.start_epoch(epoch)
            progress.advance(5)
            progress.end_epoch({"loss": 0.5, "val_f1": 0.25, "seconds": 1.5}, watched="val_f1", best=epoch == 2)
    return text.getvalue()


def test_elsewhere_than_on_a_terminal_an_epoch_is_a_line() -> None:
    lines = shown(terminal=False).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/3  loss 0.5  val_f1 0.25  1.5 s  left ")
    assert "val_f1 0.25  *  1.5 s" in lines[1]


def test_a_terminal_shows_a_bar_with_numbers_and_time_left() -> None:
    text = shown(terminal=True)
    assert "epoch 2/3" in text and "val_f1 0.25" in text and "left" in text


def test_quiet_shows_nothing() -> None:
    assert shown(terminal=True, quiet=True) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_read_easily(seconds: float, text: str) -> None:
    assert duration(seconds) == text
