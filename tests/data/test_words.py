"""Words as inputs: the vocabulary is the table's, a model knows those of train, and every way in codes alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig, SplitConfig, WindowsConfig
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.frame_rows import frame_rows
from keras_seq.data.home import data_home
from keras_seq.data.line_reader import LineReader
from keras_seq.data.prepare import prepare
from keras_seq.data.sources.registry import load_series
from keras_seq.data.table_rows import read_rows
from keras_seq.data.words import code_words, word_of
from keras_seq.errors import ConfigError, DataError

WEATHER = ["rain", "clear", "mist"]


def weather_table(rows: int = 60) -> pd.DataFrame:
    """Three days of weather, twenty hours of each in turn."""
    return pd.DataFrame(
        {
            "t": np.arange(rows),
            "weather": np.resize(np.repeat(WEATHER, 2), rows),
            "code": np.arange(rows) % 3 + 100,
            "temp": np.arange(rows) % 7 * 0.5,
            "y": np.arange(rows) % 5 + 0.25,
        }
    )


def settings(path: Path, **changes: object) -> DataConfig:
    """A sliding regression of ``y``."""
    plain = {
        "source": "table",
        "path": str(path),
        "time": "t",
        "targets": ("y",),
        "split": SplitConfig(by="time"),
        "windows": WindowsConfig(mode="sliding", length=4),
    }
    return DataConfig(**(plain | changes))  # type: ignore[arg-type]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """``weather_table`` as a file."""
    path = tmp_path / "weather.csv"
    weather_table().to_csv(path, index=False)
    return path


def test_a_column_of_words_holds_codes_of_its_sorted_vocabulary(table: Path) -> None:
    series = load_series(settings(table))
    column = series.schema.columns[0]
    assert (column.kind, column.vocabulary) == ("category", ("clear", "mist", "rain"))
    assert series.values[:6, 0].tolist() == [3, 3, 1, 1, 2, 2]


def test_numbers_are_words_where_the_user_says_so(table: Path, tmp_path: Path) -> None:
    by_option = load_series(settings(table, categories=("code",)))
    assert by_option.schema.vocabularies["code"] == ("100", "101", "102")
    schema = tmp_path / "schema.yaml"
    schema.write_text("columns: [temp, {name: code, kind: category, vocabulary: ['102', '100']}]\n", "utf-8")
    by_file = load_series(settings(table, schema_file=str(schema)))
    assert by_file.values[:3, 1].tolist() == [2, 0, 1]


@pytest.mark.parametrize("value", ["rain", " rain ", np.str_("rain")])
def test_a_word_is_itself_with_blanks_around_it(value: object) -> None:
    assert code_words([value], ("clear", "rain")).tolist() == [2]


def test_missing_and_unknown_words_are_other() -> None:
    assert code_words([None, float("nan"), "", "snow", "clear"], ("clear",)).tolist() == [0, 0, 0, 0, 1]
    assert word_of(2.0) == word_of(2) == word_of("2.0") == "2"


def test_the_order_of_rows_and_words_changes_no_code(table: Path, tmp_path: Path) -> None:
    frame = weather_table()
    turned = tmp_path / "turned.csv"
    frame.iloc[::-1].assign(t=np.arange(len(frame))).to_csv(turned, index=False)
    there, back = load_series(settings(table)), load_series(settings(turned))
    assert there.schema.vocabularies == back.schema.vocabularies
    np.testing.assert_array_equal(there.values, back.values[::-1])


def test_a_stored_table_has_the_codes_of_one_in_memory(table: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    stored, held = prepare(settings(table, cache=False)), prepare(settings(table))
    np.testing.assert_array_equal(np.asarray(stored.series.values), held.series.values)
    assert stored.spec == held.spec


def test_words_that_only_later_parts_hold_are_told_and_not_known(tmp_path: Path) -> None:
    frame = weather_table()
    frame.loc[55:, "weather"] = "snow"
    path = tmp_path / "late.csv"
    frame.to_csv(path, index=False)
    prepared = prepare(settings(path))
    (words,) = prepared.spec.words
    assert [words.vocabulary[code - 1] for code in words.seen] == ["clear", "mist", "rain"]
    told = next(f for f in prepared.quality.findings if f.rule == "new words")
    assert "'snow' in 5 of" in told.message


def test_scaling_leaves_codes_alone(table: Path) -> None:
    scaling = prepare(settings(table)).spec.scaling
    assert (scaling.center[0][0], scaling.scale[0][0], scaling.fill[0]) == (0.0, 1.0, 0.0)
    assert scaling.center[0][2] != 0.0


def test_file_frame_and_stream_give_one_code(table: Path, tmp_path: Path) -> None:
    schema = load_series(settings(table, categories=("code",))).schema
    new = weather_table(8).assign(weather=["snow", "rain", "", " mist", "clear", "Rain", "NA", "mist"])
    new["code"] = [100, 101, 102, 103, 100, 100, 100, 100]
    path = tmp_path / "new.csv"
    new.to_csv(path, index=False)
    read = read_rows(path, schema, CovariatesConfig()).series.values
    assert read[:, 0].tolist() == [0, 3, 0, 2, 1, 0, 0, 2]
    assert read[:, 1].tolist() == [1, 2, 3, 0, 1, 1, 1, 1]
    np.testing.assert_array_equal(frame_rows(new, schema, CovariatesConfig()).series.values, read)
    categorical = new.assign(weather=new["weather"].astype("category"), code=new["code"].astype(float))
    np.testing.assert_array_equal(frame_rows(categorical, schema, CovariatesConfig()).series.values, read)
    lines = [line.values for line in LineReader(path.read_text().splitlines(), schema)]
    np.testing.assert_array_equal(lines, read)


def test_parquet_gives_the_codes_of_csv(table: Path, tmp_path: Path) -> None:
    path = tmp_path / "weather.parquet"
    weather_table().astype({"weather": "category"}).to_parquet(path)
    asked = {"categories": ("code",)}
    np.testing.assert_array_equal(
        load_series(settings(path, **asked)).values, load_series(settings(table, **asked)).values
    )


def test_texts_that_are_no_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    weather_table().assign(price=[f"$ {i}" for i in range(60)]).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"holds text such as .* where a number is expected.*data\.categories"):
        load_series(settings(path))
    many = tmp_path / "many.csv"
    weather_table(1200).assign(note=[f"note {i}" for i in range(1200)]).to_csv(many, index=False)
    with pytest.raises(DataError, match="more than 1000 different words"):
        load_series(settings(many))


def test_a_forecast_is_of_numbers(table: Path) -> None:
    windows = WindowsConfig(mode="sliding", length=4, horizon=1)
    series = load_series(settings(table, targets=(), windows=windows, task="forecast"))
    assert series.schema.targets == ("code", "temp", "y")
    with pytest.raises(ConfigError, match="'weather' holds words, and a forecast is of numbers"):
        load_series(settings(table, targets=("weather",), windows=windows, task="forecast"))


def test_a_word_never_seen_is_read_as_other() -> None:
    folder = data_home() / "tiny"
    if not folder.is_dir():
        pytest.skip("the small tables are not there")
    config = DataConfig(
        source="table", path=str(folder / "08_int_bool_category.csv"), unit="unit", time="t", targets=("wear",)
    )
    schema = load_series(config).schema
    rows = read_rows(folder / "09_unseen_category_predict.csv", schema, CovariatesConfig())
    own = pd.read_csv(folder / "09_unseen_category_predict.csv")["valve"]
    codes = rows.series.values[:, schema.features.index("valve")]
    known = own.isin(schema.vocabularies["valve"]).to_numpy()
    assert (~known).any() and (codes[~known] == 0).all() and (codes[known] > 0).all()


@pytest.mark.parametrize("kind", ["file", "frame"])
def test_unseen_words_are_told_with_their_share(table: Path, kind: str) -> None:
    series = load_series(settings(table))
    name = next(iter(series.schema.vocabularies))
    new = pd.read_csv(table)
    words = new[name].astype(object)

    def told(changed: pd.Series) -> str:
        frame = new.assign(**{name: changed})
        if kind == "frame":
            rows = frame_rows(frame, series.schema, CovariatesConfig())
        else:
            frame.to_csv(table.with_name("new.csv"), index=False)
            rows = read_rows(table.with_name("new.csv"), series.schema, CovariatesConfig())
        return " ".join(line for line in rows.notes(series.schema) if "does not know" in line)

    assert told(words) == ""
    half = words.where(np.arange(len(words)) % 2 > 0, "unheard of")
    assert f"column '{name}' holds words that the model does not know: 'unheard of' (" in told(half)
    everything = told(pd.Series([f"w{i % 5}" for i in range(len(words))]))
    assert "holds none but words that the model does not know" in everything and "and 2 more (100.0% of" in everything
