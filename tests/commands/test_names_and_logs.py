"""Names of columns and folders are shown as they are; a program's own logging outlives a command run in it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq import cli
from keras_seq.commands import data, predict
from keras_seq.errors import ConfigError
from keras_seq.reports import summary
from tuning import __main__ as tuning

NAMES = ["Water flow [l/s]", "rate [/s]", "[bold]", "x [a]"]


def test_units_in_brackets_are_shown_whole_in_the_check_of_a_table(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(120, len(NAMES))), columns=NAMES)
    table.to_csv(tmp_path / "t.csv", index=False)
    words = ["check", "--path", str(tmp_path / "t.csv"), "--data.targets", '["rate [/s]"]', "--data.task", "regression"]
    assert data.main(words) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)


def test_progress_paths_and_titles_are_shown_whole(capsys) -> None:
    summary.say("explaining rate [/s], 1 step ahead")
    summary.print_paths({"bundle": "runs/[a]/seed-0"})
    summary.print_metrics("regression", {"test ([/b])": {"rmse": 1.0}}, title="Reached on x [/s]")
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("rate [/s],", "runs/[a]/seed-0", "test ([/b])", "x [/s]"))


def test_logging_of_a_program_is_left_as_it_was(capsys) -> None:
    logger = logging.getLogger("keras_seq")
    before = list(logger.handlers), logger.level, logger.propagate

    @cli.command("keras_seq.test")
    def main(argv) -> cli.Result:
        logger.info("half way")
        return cli.Result({})

    assert main([]) == 0
    assert capsys.readouterr().err == "half way\n"
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_numbers_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trials"):
        tuning.main(["--trials", "0", "--studies", str(tmp_path)])
    with pytest.raises(ConfigError, match="--every must be 0"):
        predict.main(["bundle", "rows.csv", "--every", "-1"])
