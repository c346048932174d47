"""``init`` with pilots: what is proposed for real files, and that no row outside the train part is looked at."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq import config
from keras_seq.autoconfig.look import look
from keras_seq.commands import init
from keras_seq.errors import KerasSeqError
from keras_seq.pilots import propose as pilots
from keras_seq.pilots.candidates import CONSTANT
from keras_seq.pilots.run import PilotRun

WIDE = 600.0  # seconds: on a busy machine nothing is left out


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The current folder: an empty one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def only(monkeypatch):
    """Lets only the named families be tried."""
    return lambda *families: monkeypatch.setattr(pilots, "names", lambda: families)


def propose(table, target, *, horizon=0, task=None, network=False, seconds=WIDE):
    """Findings for a frame, pilots included."""
    table.to_csv("table.csv", index=False)
    findings = look(Path("table.csv"), Path("made.yaml"), targets=(target,), horizon=horizon, task=task)
    pilots.propose(findings, seconds, network=network)
    return findings


def value(findings, key):
    """The proposed value of a field."""
    return next(choice.value for choice in findings.choices if choice.key == key)


def walk(rows=400, seed=0):
    """A random walk, hourly: nothing beats its last value."""
    steps = np.random.default_rng(seed).normal(size=rows)
    return pd.DataFrame({"t": pd.date_range("2024-01-01", periods=rows, freq="h"), "y": 50 + np.cumsum(steps)})


def test_where_nothing_beats_the_last_value_it_is_proposed(only):
    only()
    findings = propose(walk(), "y", horizon=12)
    assert any("nothing tried beats the last value" in note for note in findings.notes)
    assert "* naive" in findings.text and "+-" in findings.text and "ridge" not in findings.text
    assert not any(choice.key.startswith("training.") for choice in findings.choices)
    experiment = config.load(_written(findings))
    assert experiment.model.family == "naive" and experiment.data.windows.length >= 12


def test_units_of_unlike_scale_are_judged_in_their_own_changes(only):
    only("ridge")
    tables = [
        walk(120, seed).assign(shop=f"s{seed}").assign(y=lambda table, n=seed: table["y"] * 10.0 ** (n % 4))
        for seed in range(8)
    ]
    findings = propose(pd.concat(tables), "y", horizon=3)
    rows = {row["candidate"]: row for row in findings.pilots}
    assert "rmsse, less is better" in findings.text
    assert 0.5 < rows["naive"]["rmsse"] < 3  # a walk's error three steps ahead, in steps


@pytest.mark.slow
def test_rows_after_the_train_part_change_nothing(only, monkeypatch):
    only("ridge")
    monkeypatch.setattr("keras_seq.pilots.candidates.window_lengths", lambda *_: [8])
    table = walk(200)
    plain = propose(table, "y", horizon=3).pilots
    table.loc[140:, "y"] = table["y"][140:] * -3 + 1000  # validation and test begin at row 140
    poisoned = propose(table, "y", horizon=3).pilots
    assert [row["rmse"] for row in plain] == [row["rmse"] for row in poisoned]
    assert [row["error"] for row in plain] == [row["error"] for row in poisoned]


def test_a_weekly_pattern_is_repeated(only):
    only()
    rng = np.random.default_rng(0)
    day = np.tile(rng.normal(0, 5, 7), 60) + rng.normal(0, 0.1, 420)
    findings = propose(pd.DataFrame({"t": pd.date_range("2023-01-01", periods=420), "y": day}), "y", horizon=3)
    assert value(findings, "model.family") == "seasonal_naive" and value(findings, "model.arima.period") == 7
    assert value(findings, "data.windows.length") >= 7


@pytest.mark.slow
def test_inputs_that_tell_nothing_are_said_to(only):
    only("ridge")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=300), "y": rng.normal(size=300)})
    findings = propose(table, "y", task="regression")
    assert any(f"nothing tried beats {CONSTANT}" in note for note in findings.notes)
    assert value(findings, "model.family") == "ridge"


@pytest.mark.nightly
def test_a_network_is_taken_where_it_is_asked_for(only):
    only("ridge", "lstm")
    findings = propose(walk(), "y", horizon=2, network=True)
    assert value(findings, "model.family") == "lstm" and value(findings, "training.epochs")
    assert "as asked for with --network" in findings.text


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(only, monkeypatch):
    only("ridge")
    plain = PilotRun._answers

    def interrupted(self, candidate, seconds):
        if candidate.family == "ridge":
            signal.raise_signal(signal.SIGINT)
        return plain(self, candidate, seconds)

    monkeypatch.setattr(PilotRun, "_answers", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores Ctrl-C
    try:
        findings = propose(walk(), "y", horizon=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert value(findings, "model.family") == "naive"
    assert any("stopped by Ctrl-C" in note for note in findings.notes)
    assert [row["remark"] for row in findings.pilots if row["family"] == "ridge"][:2] == [
        "stopped by Ctrl-C",
        "not tried: stopped by Ctrl-C",
    ]


def test_a_spent_budget_leaves_the_rules(only):
    only("ridge")
    findings = propose(walk(), "y", horizon=2, seconds=0.5)
    assert value(findings, "model.family") == "lstm" and not findings.pilots
    assert any("no candidate could be judged (not tried: the budget was spent)" in note for note in findings.notes)


@pytest.mark.slow
def test_a_candidate_that_breaks_is_a_remark(only, monkeypatch):
    only("ridge")
    monkeypatch.setattr("keras_seq.pilots.run.fit_pilot", _broken("ridge"))
    findings = propose(walk(), "y", horizon=2)
    assert value(findings, "model.family") == "naive"
    assert any("failed: ZeroDivisionError: no rows" in row["remark"] for row in findings.pilots)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "horizon"),
    [
        (np.zeros(300), 2),  # all zeros
        (np.full(300, 7.0), 1),  # constant
        (np.arange(10.0) % 4, 1),  # ten rows
        (np.r_[np.zeros(250), np.ones(50)], 1),  # constant in the train part alone
    ],
)
def test_series_that_teach_nothing_get_a_reference_or_a_paragraph(only, values, horizon):
    only("ridge", "extra_trees")
    try:
        findings = propose(pd.DataFrame({"y": values}), "y", horizon=horizon)
    except KerasSeqError as error:
        assert "\n" not in str(error)
        return
    assert value(findings, "model.family") in ("mean", "naive", "seasonal_naive")


def test_a_horizon_longer_than_the_history_is_a_paragraph():
    with pytest.raises(KerasSeqError, match="needs at least"):
        propose(walk(60), "y", horizon=80)


@pytest.mark.nightly
@pytest.mark.parametrize("series", [1, 3])
def test_few_short_series(only, series):
    only("ridge", "extra_trees")
    tables = [walk(60, seed).assign(shop=f"s{seed}") for seed in range(series)]
    findings = propose(pd.concat(tables), "y", horizon=3)
    assert value(findings, "model.family") in ("mean", "naive", "seasonal_naive", "ridge")


@pytest.mark.nightly
def test_exchange_rates_are_not_foretold_worse_than_by_the_last_value(data_home, only):
    only("ridge", "nlinear", "dlinear")
    path = data_home / "exchange_rate" / "exchange_rate.txt.gz"
    if not path.exists():
        pytest.skip("exchange_rate is not under the data home")
    table = pd.read_csv(path, header=None, nrows=2500)
    table.columns = [f"rate_{n}" for n in range(table.shape[1])]
    findings = propose(table[["rate_0", "rate_7"]], "rate_7", horizon=24)
    rows = {row["candidate"]: row for row in findings.pilots}
    family = value(findings, "model.family")
    chosen = min(row["rmse"] for row in rows.values() if row["family"] == family and row["rmse"])
    assert chosen <= 1.01 * rows["naive"]["rmse"]


@pytest.mark.nightly
def test_short_curves_of_four_classes_get_more_than_a_network(data_home, only):
    only("ridge", "extra_trees", "minirocket", "gru")
    path = data_home / "trace_npz" / "Trace.npz"
    if not path.exists():
        pytest.skip("trace_npz is not under the data home")
    assert init.main([str(path), "--target", "label", "--out", "made.yaml", "--budget", "5"]) == 0
    assert config.load("made.yaml").model.family in ("extra_trees", "minirocket", "ridge")


def _written(findings):
    Path("made.yaml").write_text(findings.text, encoding="utf-8")
    return "made.yaml"


def _broken(family):
    from keras_seq.pilots.run import fit_pilot

    def fit(experiment, prepared, until):
        if experiment.model.family == family:
            raise ZeroDivisionError("no rows")
        return fit_pilot(experiment, prepared, until)

    return fit
