"""Two models that are equal in law are called different in about 5 of 100 tables, however their errors depend."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq.evaluation.comparison import compare_answers
from keras_seq.evaluation.dependence import autocorrelation, cosine_terms, sum_variance
from keras_seq.evaluation.verdict import pick_winner
from keras_seq.reports import comparison as report
from tests.factories.errors import answers_of, autoregressive, many_units, moving_average, one_unit, spec_of
from tests.factories.series import make_series
from tests.factories.tiers import tiers

FORECAST = spec_of("forecast", 1)


def alarms(make, tables: int = 250, spec=FORECAST, **options) -> tuple[float, float]:
    """Shares of tables in which two models are called different, and in which nothing is told."""
    pairs = [
        compare_answers(make(np.random.default_rng(i)), spec, resamples=200, **options).pairs[0] for i in range(tables)
    ]
    return np.mean([pair.adjusted < 0.05 for pair in pairs]), np.mean([not pair.told for pair in pairs])


def equal_in_law(draw, steps: int):
    return lambda rng: one_unit({"a": draw(rng, steps), "b": draw(rng, steps)})


# ---------------------------------------------------------------- one unit, cut by time


DRAWS = {
    "independent": autoregressive(0.0),
    "0.5": autoregressive(0.5),
    "0.9": autoregressive(0.9),
    "0.97": autoregressive(0.97),
    "heavy tails": autoregressive(0.9, heavy=True),
    "moving average": moving_average(12),
    "season": autoregressive(0.9, lag=12),
}
LEVELS = [(draw, steps) for draw in DRAWS for steps in (100, 500, 2000)]
QUICK = [("0.5", 100), ("0.9", 500)]


@pytest.mark.parametrize(
    ("draw", "steps"),
    tiers(LEVELS, quick=QUICK, slow=[case for case in LEVELS if case[1] < 2000 and case not in QUICK]),
)
def test_false_alarms_stay_near_the_level(draw: str, steps: int) -> None:
    rate, _ = alarms(equal_in_law(DRAWS[draw], steps))
    assert rate < 0.085  # 5 % and two and a half standard errors of 250 tables


@pytest.mark.parametrize("metric", tiers(["rmse", "mae"], quick=["mae"], slow=["rmse"]))
def test_an_independent_series_is_always_told_and_the_level_is_used_up(metric: str) -> None:
    rate, silent = alarms(equal_in_law(autoregressive(0.0), 500), 400, deciding=metric)
    assert 0.02 < rate < 0.085 and silent < 0.03


def test_a_real_difference_is_found_through_the_dependence() -> None:
    draw = autoregressive(0.9)
    rate, _ = alarms(lambda rng: one_unit({"a": draw(rng, 2000), "b": 1.5 * draw(rng, 2000)}), 100)
    assert rate > 0.9


def test_a_series_shorter_than_its_memory_says_so() -> None:
    draw = autoregressive(0.97)
    _, silent = alarms(equal_in_law(draw, 100), 100)
    assert silent > 0.8
    rng = np.random.default_rng(0)
    compared = compare_answers(one_unit({"a": draw(rng, 60), "b": draw(rng, 60)}), FORECAST)
    verdict = pick_winner(compared, {})
    assert not verdict.significant and np.isnan(verdict.pair.p_value)
    assert "too few independent blocks of time" in verdict.words
    assert "is not significant" not in verdict.words and "nan" not in verdict.words
    rows = report.table_rows(compared, {}, {"a": 1, "b": 1}, {})
    text = report.to_markdown(compared, verdict, rows, {"data": "made"}, [])
    assert "cannot tell" in text and "nan" not in text


@pytest.mark.nightly
def test_classes_over_time_are_held_by_the_same_rule() -> None:
    def make(rng):
        draw = autoregressive(0.9)
        state = draw(rng, 800)
        scores = {name: (state + draw(rng, 800)) for name in ("a", "b")}
        given = one_unit(scores)
        truth = (state + rng.normal(size=800) > 0).astype(float)
        return type(given)(
            truth, {n: s[None] for n, s in scores.items()}, given.unit, given.row, given.metrics, 0, given.series
        )

    rate, _ = alarms(make, 150, spec_of("binary"))
    assert rate < 0.10


# ---------------------------------------------------------------- several units


def test_few_units_at_the_same_times() -> None:
    draw = autoregressive(0.9)

    def make(rng):
        shock = {name: draw(rng, 500) for name in "ab"}
        return many_units({name: np.stack([shock[name] + draw(rng, 500) for _ in range(4)]) for name in "ab"})

    assert alarms(make, 200)[0] < 0.095


@pytest.mark.slow
def test_many_units_share_their_bad_days() -> None:
    draw = autoregressive(0.5)

    def make(rng):
        shock = {name: draw(rng, 300) for name in "ab"}
        return many_units({name: np.stack([shock[name] + 0.3 * draw(rng, 300) for _ in range(12)]) for name in "ab"})

    assert alarms(make, 200)[0] < 0.095


def test_units_without_common_days_keep_their_power() -> None:
    def make(rng):
        return many_units({"a": rng.normal(size=(12, 60)), "b": 1.25 * rng.normal(size=(12, 60))})

    assert alarms(make, 60)[0] > 0.6


@pytest.mark.slow
def test_units_of_unequal_size() -> None:
    def make(rng):
        sizes = np.maximum(rng.lognormal(3, 1.2, 15).astype(int), 2)
        unit = np.repeat(np.arange(15), sizes)
        level = {name: np.exp(0.7 * rng.normal(size=15))[unit] for name in "ab"}  # each unit is hard or easy
        errors = {name: level[name] * rng.normal(size=len(unit)) for name in "ab"}
        return answers_of(make_series(sizes.tolist()), errors, unit, np.arange(len(unit)))

    assert alarms(make, 300, spec_of("regression"))[0] < 0.09


# ---------------------------------------------------------------- equal, nearly equal


def test_identical_models_are_equal() -> None:
    error = autoregressive(0.9)(np.random.default_rng(0), 300)
    verdict = pick_winner(compare_answers(one_unit({"a": error, "b": error}), FORECAST), {})
    assert verdict.pair.p_value == 1 and (verdict.pair.low, verdict.pair.high) == (0, 0)
    assert not verdict.significant and "a and b are equal in rmse" in verdict.words


@pytest.mark.parametrize("row", [0, 3, 150, 298, 299])
def test_one_row_decides_nothing(row: int) -> None:
    error = np.random.default_rng(0).normal(size=300)
    other = error.copy()
    other[row] *= 3
    pair = compare_answers(one_unit({"a": error, "b": other}), FORECAST).pairs[0]
    assert not pair.significant(0.05) and pair.low < 0 < pair.high


# ---------------------------------------------------------------- the verdict and its interval


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    models=st.integers(2, 4),
    kind=st.sampled_from(["time", "units", "binary", "auc_pr"]),
    gain=st.floats(1.0, 1.4),
    level=st.sampled_from([0.01, 0.05, 0.2]),
)
def test_a_difference_is_significant_exactly_where_its_interval_excludes_zero(seed, models, kind, gain, level) -> None:
    rng = np.random.default_rng(seed)
    names = "abcd"[:models]
    errors = {name: gain**i * autoregressive(0.3)(rng, 240) for i, name in enumerate(names)}
    if kind == "time":
        made, spec, options = one_unit(errors), FORECAST, {}
    else:
        unit, series = np.repeat(np.arange(24), 10), make_series([10] * 24)
        made, spec, options = answers_of(series, errors, unit, np.arange(240)), spec_of("regression"), {}
    if kind in ("binary", "auc_pr"):
        truth = np.random.default_rng(seed).integers(0, 2, 240).astype(float)
        made = type(made)(
            truth, {n: (truth + e)[None] for n, e in errors.items()}, made.unit, made.row, made.metrics, 0, made.series
        )
        spec, options = spec_of("binary"), {"deciding": "auc_pr"} if kind == "auc_pr" else {}
    compared = compare_answers(made, spec, resamples=300, level=level, **options)
    for pair in compared.pairs:
        assert (pair.adjusted < level) == (not pair.low <= 0 <= pair.high)
        assert pair.low <= pair.difference <= pair.high
    for chosen in (level, 0.1):
        verdict = pick_winner(compared, {}, level=chosen)
        assert verdict.significant == (not verdict.pair.low <= 0 <= verdict.pair.high)
        assert ("is not significant" in verdict.words) == (not verdict.significant)


def test_the_written_report_is_plain_json(tmp_path) -> None:
    from keras_seq.pipeline.compare import plain

    compared = compare_answers(one_unit({"a": np.ones(5), "b": 2 * np.arange(5.0)}), FORECAST)
    text = json.dumps(plain({"pair": compared.pairs[0].__dict__}), allow_nan=False)
    assert '"p_value": null' in text


# ---------------------------------------------------------------- the variance itself


@pytest.mark.slow
def test_slow_cosines_know_the_variance_of_a_sum() -> None:
    rng = np.random.default_rng(1)
    series = [autoregressive(0.8)(rng, 4000) for _ in range(200)]
    found = np.mean([sum_variance(one, cosine_terms(one)) for one in series])
    assert found == pytest.approx(4000 / (1 - 0.8) ** 2, rel=0.1)
    assert np.var([one.sum() for one in series]) == pytest.approx(found, rel=0.35)


def test_terms_shrink_with_the_memory_and_with_overlapping_forecasts() -> None:
    rng = np.random.default_rng(2)
    terms = [cosine_terms(autoregressive(memory)(rng, 2000)) for memory in (0.0, 0.9, 0.97)]
    assert terms[0] > 40 and terms[0] > terms[1] > terms[2] > 0
    assert cosine_terms(rng.normal(size=300), overlap=24) == 5
    assert cosine_terms(rng.normal(size=20), overlap=15) == 0
    assert (autocorrelation(np.ones(50), 5) == 0).all()
