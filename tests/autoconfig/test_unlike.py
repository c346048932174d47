"""Units of unlike scale are told, and what the configuration then says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from keras_seq.autoconfig.advise import evaluation, model, training
from keras_seq.autoconfig.unlike import unit_ratio
from tests.autoconfig.test_advise import HOUR, facts


def table(*sizes: float, rows: int = 40, level: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    wave = rng.normal(size=rows)
    return pd.concat([pd.DataFrame({"unit": f"u{k}", "y": wave * size + level}) for k, size in enumerate(sizes)])


@pytest.mark.parametrize(
    ("head", "ratio"),
    [
        (table(1.0, 2.0), 2.0),
        (table(1.0, 1000.0, 0.0), 1000.0),  # a unit that never varies says nothing
        (table(1.0), 1.0),
        (table(*[1.0] * 99, 1e9), 1.0),  # one of a hundred is no reason
        (table(1.0, 2.0, rows=3), 1.0),
    ],
)
def test_the_ratio_of_units(head: pd.DataFrame, ratio: float) -> None:
    assert unit_ratio(head, "unit", ("y",)) == pytest.approx(ratio, rel=1e-6)


def test_levels_count_too() -> None:
    head = pd.concat([table(1.0, level=10.0), table(1.0, level=9000.0).assign(unit="other")])
    assert unit_ratio(head, "unit", ("y",)) == pytest.approx(900, rel=0.1)
    assert unit_ratio(head, None, ("y",)) == 1.0


@pytest.mark.parametrize(("step", "kind"), [(HOUR, "season"), (0.0, "window")])
def test_unlike_units_are_proposed_with_errors_of_their_own(step: float, kind: str) -> None:
    found = facts(step, 20_000)
    like = {choice.key: choice for choice in [*model(found), *training(found)]}
    found.apart = 1234.0
    unlike = {choice.key: choice for choice in [*model(found), *training(found)]}
    assert "training.loss_scale" not in like and unlike["training.loss_scale"].value == kind
    assert evaluation(found)[0].value == "none"  # one width for all would be wrong for most
    assert unlike["model.normalisation"].value == "instance" and "some 1,000 times" in unlike["model.normalisation"].why


def test_few_rows_are_scaled_by_window_too() -> None:
    found = facts(0.0, 200)
    found.apart = 100.0
    assert {choice.key: choice.value for choice in model(found)}["model.normalisation"] == "instance"


@pytest.mark.parametrize(
    ("rows", "epochs", "patience"), [(700, 200, 100), (5000, 28, 14), (20_000, 14, 7), (10**7, 5, 3)]
)
def test_epochs_go_by_steps(rows: int, epochs: int, patience: int) -> None:
    chosen = {choice.key: choice.value for choice in training(facts(HOUR, rows))}
    assert chosen["training.epochs"] == epochs and chosen["training.patience"] == patience
    assert chosen["training.learning_rate"] == 0.003 and chosen["training.schedule"] == "cosine"
