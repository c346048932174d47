"""Known-ahead columns: a row is told of the later rows of a plan, and of nothing else that comes later."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_seq import config
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.frame_rows import frame_rows
from keras_seq.data.line_reader import LineReader
from keras_seq.data.plans.marks import leads_of, planned
from keras_seq.data.prepare import prepare, read_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import ConfigError, DataError

NOTHING = CovariatesConfig()
HORIZON = 3


def shops(rows: int = 30, seed: int = 0) -> pd.DataFrame:
    """Daily sales of two shops with their size, a promotion that is planned and a temperature that is not."""
    rng = np.random.default_rng(seed)
    frames = []
    for shop, size in (("north", 100), ("south", 250)):
        promo = (rng.random(rows) < 0.3).astype(int)
        temp = rng.normal(15, 3, rows).round(2)
        days = pd.date_range("2024-01-01", periods=rows).strftime("%Y-%m-%d")
        sales = (size + 30 * promo + temp).round(2)
        frames.append(
            pd.DataFrame({"shop": shop, "day": days, "sales": sales, "promo": promo, "temp": temp, "size": size})
        )
    return pd.concat(frames, ignore_index=True)


def settings_of(path, **data) -> config.DataConfig:
    tree = {
        "source": "table",
        "path": str(path),
        "unit": "shop",
        "time": "day",
        "targets": ["sales"],
        "task": "forecast",
        "known_ahead": ["promo"],
        "split": {"by": "time"},
        "windows": {"mode": "sliding", "length": 5, "horizon": HORIZON},
    }
    return config.DataConfig.model_validate(tree | data)


def series_of(tmp_path, table: pd.DataFrame, **data):
    path = tmp_path / "shops.csv"
    table.to_csv(path, index=False)
    return read_series(settings_of(path, **data))


def apart(table: pd.DataFrame, last: int = HORIZON) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The observed rows, and a plan of the last ones of each shop."""
    late = table.groupby("shop").cumcount(ascending=False) < last
    return table[~late].reset_index(drop=True), table.loc[late, ["shop", "day", "promo"]].reset_index(drop=True)


def with_plan_rows(observed: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Both as one table, unit by unit; what a plan does not tell is empty."""
    return pd.concat([observed, plan]).sort_values(["shop", "day"], ignore_index=True)


# --- training --------------------------------------------------------------------------------------------------------


def test_a_channel_tells_of_the_row_so_many_steps_later(tmp_path):
    table = shops()
    series = series_of(tmp_path, table)
    names = list(series.schema.features)
    assert names == ["sales", "promo", "temp", "size", "promo+1", "promo+2", "promo+3"]
    assert [column.name for column in series.schema.columns if column.known_ahead] == ["promo", *names[4:]]
    assert planned(series.schema) == {"promo": (1, 2, 3)}
    for shop, rows in table.groupby("shop", sort=False):
        values = series.unit_values(series.unit_ids.tolist().index(shop))
        for lead in (1, 2, 3):
            expected = rows["promo"].shift(-lead).to_numpy(np.float32)  # nothing of the next shop
            np.testing.assert_array_equal(values[:, names.index(f"promo+{lead}")], expected)


@settings(max_examples=15)
@given(cut=st.integers(1, 29), seed=st.integers(0, 99))
def test_only_the_plan_of_later_rows_is_told(tmp_path_factory, cut, seed):
    """Other values in later rows of a column that is not known ahead change no input; another plan does."""
    folder, table = tmp_path_factory.mktemp("plan"), shops(seed=seed)
    later = table.groupby("shop").cumcount() >= cut
    before = series_of(folder, table).values[~later]
    other = table.assign(**{name: table[name].where(~later, table[name] + 7) for name in ("sales", "temp")})
    np.testing.assert_array_equal(series_of(folder, other).values[~later], before)
    planned_otherwise = table.assign(promo=table["promo"].where(~later, 1 - table["promo"]))
    assert (series_of(folder, planned_otherwise).values[~later] != before).any()


def test_every_window_with_a_known_target_knows_its_plan(tmp_path):
    """Windows of all parts, also those whose horizon ends with the file."""
    path = tmp_path / "shops.csv"
    shops(60).to_csv(path, index=False)
    prepared = prepare(settings_of(path))
    for index in prepared.index.values():
        last = index.start + index.length - 1
        assert np.isfinite(prepared.series.values[last]).all()
    assert not prepared.quality.errors


def test_plan_rows_at_the_end_of_a_file_are_told_and_are_no_rows(tmp_path):
    """Rows that hold nothing but the plan and what never changes in a shop; missing values need not be allowed."""
    table = shops()
    observed, plan = apart(table)
    plan["size"] = plan["shop"].map({"north": 100, "south": 250})
    series = series_of(tmp_path, with_plan_rows(observed, plan))
    assert series.lengths.tolist() == [27, 27]
    whole = series_of(tmp_path, table)
    rows = np.concatenate([np.arange(27), 30 + np.arange(27)])
    np.testing.assert_array_equal(series.values, whole.values[rows])
    np.testing.assert_array_equal(series.targets, whole.targets[rows])


def test_marks_of_a_schema_file_are_those_of_the_option(tmp_path):
    schema = tmp_path / "schema.yaml"
    schema.write_text("columns: [sales, {name: promo, known_ahead: true}, temp, size]\n")
    marked = series_of(tmp_path, shops(), known_ahead=[], schema_file=str(schema))
    asked = series_of(tmp_path, shops())
    assert marked.schema.columns == asked.schema.columns
    np.testing.assert_array_equal(marked.values, asked.values)


@pytest.mark.parametrize(
    ("horizon", "leads", "expected"),
    [(3, None, (1, 2, 3)), (5, (5, 1), (1, 5)), (4, (), ()), (96, None, tuple(range(1, 97)))],
)
def test_leads(horizon, leads, expected):
    windows, covariates = {"horizon": horizon}, {"plan_leads": leads}
    assert leads_of(config.DataConfig.model_validate({"windows": windows, "covariates": covariates})) == expected


def test_leads_of_a_long_horizon():
    """96 of them, the first and the last among them, at equal distances."""
    leads = leads_of(config.DataConfig.model_validate({"windows": {"horizon": 720}}))
    assert len(leads) == 96 and (leads[0], leads[-1]) == (1, 720)
    assert set(np.diff(leads)) <= {7, 8}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"known_ahead": ["promotion"]}, "'promotion', which is no input column"),
        ({"known_ahead": ["sales"]}, r"'sales' is marked as known ahead \(data.known_ahead\) and is a target"),
        ({"features": ["sales", "temp"]}, "'promo', which is no input column"),
        ({"windows": {"horizon": 0}}, "only a forecast has later steps"),
        ({"task": "regression", "windows": {"horizon": 0}}, "the task is regression"),
        ({"cache": False}, "neither shards nor data.cache=false"),
        ({"covariates": {"plan_leads": [4]}}, "ends after data.windows.horizon=3"),
    ],
)
def test_marks_that_cannot_be_kept_are_refused(tmp_path, data, message):
    with pytest.raises(ConfigError, match=message):
        series_of(tmp_path, shops(), **data)


def test_a_column_with_the_name_of_a_channel_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'promo\+2' of 'shops' has the name of a channel"):
        series_of(tmp_path, shops().assign(**{"promo+2": 1}))


# --- prediction ------------------------------------------------------------------------------------------------------


@pytest.fixture
def learnt(tmp_path):
    """Schema of a model of the shops, the observed rows and the plan of the next days."""
    table = shops()
    return series_of(tmp_path, table).schema, *apart(table)


def rows_of(tmp_path, schema, table, plan=None, **options):
    path = tmp_path / "rows.csv"
    table.to_csv(path, index=False)
    if plan is not None:
        plan.to_csv(tmp_path / "plan.csv", index=False)
    return read_rows(
        path, schema, NOTHING, window=5, plan=tmp_path / "plan.csv" if plan is not None else None, **options
    )


def test_plan_rows_and_a_plan_of_its_own_give_the_inputs_of_training(tmp_path, learnt):
    """In the file or beside it, as a file or as DataFrames: what training saw once the days had come."""
    schema, observed, plan = learnt
    truth = series_of(tmp_path, shops())
    wanted = truth.values[np.concatenate([np.arange(27), 30 + np.arange(27)])]
    mixed = plan.assign(promo=plan["promo"].where(plan.index % 2 == 0))
    other = plan[plan.index % 2 == 1]
    tables = [
        rows_of(tmp_path, schema, with_plan_rows(observed, plan)),
        rows_of(tmp_path, schema, observed, plan),
        rows_of(tmp_path, schema, with_plan_rows(observed, mixed), other),  # each fills what the other leaves empty
        frame_rows(with_plan_rows(observed, plan), schema, NOTHING, window=5),
        frame_rows(observed, schema, NOTHING, window=5, plan=plan),
    ]
    for rows in tables:
        np.testing.assert_array_equal(rows.series.values, wanted)
        assert rows.series.schema == schema and not rows.refused
        assert rows.stamps[rows.series.offsets[1:] - 1].tolist() == ["2024-01-27"] * 2


def test_more_plan_than_is_needed_does_no_harm(tmp_path, learnt):
    """Days before, far days, other shops and other columns."""
    schema, observed, plan = learnt
    far = plan.assign(day=(pd.to_datetime(plan["day"]) + pd.Timedelta(days=40)).dt.strftime("%Y-%m-%d"))
    past = observed.loc[:9, ["shop", "day", "promo"]]
    wide = pd.concat([past, plan, far, plan[:3].assign(shop="west")]).sort_values(["shop", "day"]).assign(note=3)
    np.testing.assert_array_equal(
        rows_of(tmp_path, schema, observed, wide).series.values, rows_of(tmp_path, schema, observed, plan).series.values
    )


def test_a_missing_plan_is_named_by_unit_column_and_stamp(tmp_path, learnt):
    schema, observed, plan = learnt
    with pytest.raises(
        DataError, match=r"'north' has 27 rows and its plan lacks 'promo' at 3 steps ahead \(2024-01-28"
    ):
        rows_of(tmp_path, schema, observed)
    gap = plan[plan["day"] != "2024-01-29"]
    with pytest.raises(DataError, match=r"lacks 'promo' at 1 step ahead \(2024-01-29\).*--plan"):
        rows_of(tmp_path, schema, observed, gap)
    with pytest.raises(DataError, match=r"lacks 'promo' at 1 step ahead \(2024-01-29\)"):
        frame_rows(observed, schema, NOTHING, plan=gap)


def test_the_units_that_have_a_plan_are_answered(tmp_path, learnt):
    schema, observed, plan = learnt
    rows = rows_of(tmp_path, schema, observed, plan[plan["shop"] == "south"])
    assert rows.series.unit_ids.tolist() == ["south"]
    assert [(one.unit, "lacks 'promo'" in one.reason) for one in rows.refused] == [("north", True)]


def test_a_gap_inside_a_plan_is_filled_as_training_fills_it(tmp_path):
    """With imputation an empty field is a missing value for the model; a row that is not there is a missing plan."""
    table = shops()
    schema = series_of(tmp_path, table, impute="forward").schema
    observed, plan = apart(table)
    empty = plan.assign(promo=plan["promo"].where(plan["day"] != "2024-01-29"))
    rows = rows_of(tmp_path, schema, observed, empty)
    last = rows.series.values[rows.series.offsets[1:] - 1]
    assert np.isnan(last[:, schema.features.index("promo+2")]).all()
    assert np.isfinite(last[:, schema.features.index("promo+3")]).all()
    with pytest.raises(DataError, match="'promo' at 3 steps ahead"):
        rows_of(tmp_path, schema, observed, plan.assign(promo=np.nan))


def test_plans_that_contradict_each_other_are_refused(tmp_path, learnt):
    schema, observed, plan = learnt
    with pytest.raises(DataError, match="contradict each other: 'promo' of unit 'north' at 2024-01-28"):
        rows_of(tmp_path, schema, with_plan_rows(observed, plan), plan.assign(promo=1 - plan["promo"]))


def test_a_plan_for_a_model_without_one_is_refused(tmp_path, learnt):
    _, observed, plan = learnt
    schema = series_of(tmp_path, shops(), known_ahead=[]).schema
    with pytest.raises(ConfigError, match="trained without known-ahead columns"):
        rows_of(tmp_path, schema, observed, plan)


def test_a_column_filled_beside_the_plan_is_told(tmp_path):
    """A weekday written along makes a plan row look observed."""
    schema = series_of(tmp_path, shops(), impute="forward").schema
    observed, plan = apart(shops())
    rows = with_plan_rows(observed, plan.assign(temp=range(len(plan))))
    with pytest.raises(DataError, match="holds no target but 'temp', which is not known ahead"):
        rows_of(tmp_path, schema, rows)


def test_missing_values_of_observed_rows_are_still_refused(tmp_path, learnt):
    schema, observed, plan = learnt
    observed.loc[4, "temp"] = np.nan
    with pytest.raises(DataError, match="misses 'temp' in data row 5"):
        rows_of(tmp_path, schema, observed, plan)


def test_labelled_rows_need_no_plan(tmp_path, learnt):
    """Evaluation judges rows whose later rows are there."""
    schema, observed, _ = learnt
    rows = rows_of(tmp_path, schema, observed, with_targets=True)
    assert rows.series.lengths.tolist() == [27, 27]


def test_rows_without_time_are_followed_by_their_plan(tmp_path):
    """Without stamps the next rows are the next steps."""
    table = shops()[["shop", "sales", "promo", "temp", "size"]]
    schema = series_of(tmp_path, table, time=None).schema
    late = table.groupby("shop").cumcount(ascending=False) < HORIZON
    observed, plan = table[~late], table.loc[late, ["shop", "promo"]]
    joined = pd.concat([observed, plan]).sort_values("shop", kind="stable")
    np.testing.assert_array_equal(
        rows_of(tmp_path, schema, joined).series.values, rows_of(tmp_path, schema, observed, plan).series.values
    )
    with pytest.raises(DataError, match=r"'promo' at 2 steps ahead \(step 2, step 3\)"):
        rows_of(tmp_path, schema, observed, plan.groupby("shop").head(1))


@pytest.mark.parametrize("zone", [None, "Australia/Melbourne"])
def test_stamps_of_a_plan_follow_the_calendar(tmp_path, zone):
    """Half hours across a clock change, written in universal time; business days; numbers with decimals."""
    stamps = pd.date_range("2014-10-04T00:00Z", periods=96, freq="30min").strftime("%Y-%m-%dT%H:%M:%SZ")
    clocks = {
        "utc": stamps,
        "business": pd.bdate_range("2024-01-01", periods=96).strftime("%d.%m.%Y"),
        "numbers": [f"{0.1 * n:.1f}" for n in range(96)],
    }
    for clock in clocks.values():
        rng = np.random.default_rng(3)
        table = pd.DataFrame({"day": clock, "sales": rng.normal(size=96), "promo": rng.integers(0, 2, 96)})
        data = {"unit": None, "zone": zone if clock is stamps else None}
        whole = series_of(tmp_path, table, **data)
        observed, plan = table[:-HORIZON], table.loc[96 - HORIZON :, ["day", "promo"]]
        rows = rows_of(tmp_path, whole.schema, observed, plan)
        np.testing.assert_array_equal(rows.series.values, whole.values[: 96 - HORIZON])
        with pytest.raises(DataError, match="'promo' at 1 step ahead"):
            rows_of(tmp_path, whole.schema, observed, plan[1:])


def test_covariates_beside_a_plan(tmp_path):
    """Lags and calendar columns stand behind the plan's channels in training and at prediction."""
    table, covariates = shops(), {"lags": [2], "calendar": ["week"]}
    whole = series_of(tmp_path, table, covariates=covariates)
    observed, plan = apart(table)
    observed.to_csv(tmp_path / "rows.csv", index=False)
    plan.to_csv(tmp_path / "plan.csv", index=False)
    chosen = CovariatesConfig.model_validate(covariates)
    rows = read_rows(tmp_path / "rows.csv", whole.schema, chosen, window=5, plan=tmp_path / "plan.csv")
    np.testing.assert_array_equal(rows.series.values, whole.values[np.concatenate([np.arange(27), 30 + np.arange(27)])])


def test_a_stream_says_how_it_gets_its_plan(learnt):
    """A row of a stream is answered before later rows come: the channels stand in it, or it is refused."""
    schema, _, _ = learnt
    header = "shop,day,sales,promo,temp,size"
    with pytest.raises(DataError, match=r"lacks the column 'promo\+1'.*columns promo\+1 to promo\+3.*--plan"):
        LineReader([header + "\n"], schema)
    told = f"{header},promo+1,promo+2,promo+3\nnorth,2024-01-01,1,0,15,100,1,0,1\n"
    (row,) = LineReader(told.splitlines(keepends=True), schema)
    assert row.values.tolist() == [1, 0, 15, 100, 1, 0, 1]


def test_a_table_that_holds_the_channels_needs_no_plan(tmp_path, learnt):
    """What a caller has worked out himself, such as a server's inputs, is taken."""
    schema, observed, plan = learnt
    rows = rows_of(tmp_path, schema, observed, plan)
    told = pd.DataFrame(rows.series.values, columns=list(schema.features))
    told = told.assign(shop=np.repeat(rows.series.unit_ids, rows.series.lengths), day=rows.stamps)
    again = read_rows(io_file(tmp_path, told), schema, NOTHING, window=5)
    np.testing.assert_array_equal(again.series.values, rows.series.values)


def io_file(tmp_path, table):
    path, text = tmp_path / "told.csv", io.StringIO()
    table.to_csv(text, index=False)
    path.write_text(text.getvalue())
    return path


# --- words -----------------------------------------------------------------------------------------------------------


def campaigns(rows: int = 30) -> pd.DataFrame:
    """The shops with the name of the campaign of each day; some days have none."""
    table = shops(rows)
    names = np.array(["spring", "", "outlet"])[np.random.default_rng(5).integers(0, 3, len(table))]
    return table.drop(columns="promo").assign(campaign=np.where(names == "", None, names))


def test_words_are_known_ahead_as_numbers_are(tmp_path):
    """Channels hold the codes of the same vocabulary; a row without a word is an observed one all the same."""
    table = campaigns()
    whole = series_of(tmp_path, table, known_ahead=["campaign"], impute="forward")
    names, columns = list(whole.schema.features), whole.schema.columns
    assert whole.schema.vocabularies == dict.fromkeys(
        ("campaign", "campaign+1", "campaign+2", "campaign+3"), ("outlet", "spring")
    )
    codes = whole.unit_values(0)[:, [names.index("campaign"), names.index("campaign+2")]]
    np.testing.assert_array_equal(codes[2:, 0], codes[:-2, 1])
    assert codes[-2:, 1].tolist() == [0, 0] and columns[-1].known_ahead
    late = table.groupby("shop").cumcount(ascending=False) < HORIZON
    observed = table[~late].reset_index(drop=True)
    plan = table.loc[late, ["shop", "day", "campaign"]].reset_index(drop=True)
    wanted = whole.values[np.concatenate([np.arange(27), 30 + np.arange(27)])]
    for rows in (
        rows_of(tmp_path, whole.schema, with_plan_rows(observed, plan)),
        rows_of(tmp_path, whole.schema, observed, plan),
        frame_rows(observed, whole.schema, NOTHING, window=5, plan=plan),
    ):
        np.testing.assert_array_equal(rows.series.values, wanted)
    with pytest.raises(DataError, match="'campaign' at 3 steps ahead"):
        rows_of(tmp_path, whole.schema, observed)
