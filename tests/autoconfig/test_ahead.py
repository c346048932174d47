"""What is known ahead: marked only where the file goes on with it, else named and left to the user."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.factories.init import begin

ROWS, AHEAD = 200, 14


def sales(*, temp: bool = True, shops: int = 1) -> pd.DataFrame:
    """Daily sales with a promotion and a temperature."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2022-01-01", periods=ROWS).strftime("%Y-%m-%d")
    tables = [
        pd.DataFrame(
            {
                "shop": f"shop {shop}",
                "date": days,
                "sales": rng.normal(60, 5, ROWS).round(2),
                "promo": rng.integers(0, 2, ROWS),
                "temp": rng.normal(10, 4, ROWS).round(2),
            }
        )
        for shop in range(shops)
    ]
    table = pd.concat(tables, ignore_index=True)
    table = table if shops > 1 else table.drop(columns="shop")
    return table if temp else table.drop(columns="temp")


def ended(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The table with columns that end before its last rows (of every shop)."""
    shop = table["shop"] if "shop" in table else pd.Series("one", index=table.index)
    at_end = table.groupby(shop).cumcount(ascending=False) < AHEAD
    return table.assign(**{name: table[name].where(~at_end) for name in names})


def known_ahead(table: pd.DataFrame, *words: str) -> tuple[str, ...]:
    return begin(table, "--target", "sales", "--horizon", "7", *words).data.known_ahead


def test_a_complete_file_marks_nothing_and_names_what_could_be(here):
    assert known_ahead(sales()) == ()
    assert "instead: [promo], or those of them that are planned" in (here / "made.yaml").read_text()


@pytest.mark.parametrize("shops", [1, 3])
def test_a_file_that_goes_on_with_a_plan_marks_it(here, shops):
    assert known_ahead(ended(sales(shops=shops), "sales", "temp")) == ("promo",)
    assert "filled in" in (here / "made.yaml").read_text()


def test_without_other_inputs_a_flag_that_goes_on_is_a_plan(here):
    assert known_ahead(ended(sales(temp=False), "sales")) == ("promo",)


def test_a_target_that_comes_late_marks_no_sensor(here):
    """All inputs filled where the target is empty: what is measured is not what is planned."""
    assert known_ahead(ended(sales(), "sales")) == ()


def test_no_forecast_has_no_plan(here):
    table = sales().assign(label=lambda t: t["promo"] * 1)
    begin(table.drop(columns="promo"), "--target", "label")
    assert "known_ahead" not in (here / "made.yaml").read_text()


def test_the_seeded_file(here, data_home):
    """A promotion that is planned and a temperature that is not: history alone, and with its plan behind it."""
    folder = data_home / "tiny"
    if not folder.is_dir():
        pytest.skip("the seeded files are not under the data home")
    history = pd.read_csv(folder / "25_known_future_history.csv")
    plan = pd.read_csv(folder / "25_known_future_plan.csv")
    assert known_ahead(history) == ()
    made = begin(pd.concat([history, plan]), "--target", "sales", "--horizon", "14", "--overwrite")
    assert made.data.known_ahead == ("promo",)
