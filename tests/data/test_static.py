"""Static columns: repeated on every row, or joined by unit from a companion table, they are one and the same input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_seq.config import DataConfig
from keras_seq.config.data import StaticConfig
from keras_seq.config.forecasting import CovariatesConfig
from keras_seq.data.frame_rows import frame_rows
from keras_seq.data.home import data_home
from keras_seq.data.line_reader import LineReader
from keras_seq.data.prepare import prepare
from keras_seq.data.sources.registry import load_series
from keras_seq.data.table_rows import read_rows
from keras_seq.errors import ConfigError, DataError


def sales() -> pd.DataFrame:
    """Three stores of ten rows; size and type are the same in all rows of a store."""
    store = np.repeat([1, 2, 7], 10)
    return pd.DataFrame(
        {
            "Store": store,
            "t": np.tile(np.arange(10), 3),
            "sales": np.arange(30) * 1.5,
            "Size": store * 100.5,
            "Type": np.repeat(["A", "B", "A"], 10),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The table whole, without its static columns, and these in a companion table in another order."""
    whole = sales()
    stores = (
        whole.groupby("Store", as_index=False)[["Size", "Type"]].first().iloc[::-1].assign(Open=[True, False, True])
    )
    tables = {"whole": whole, "plain": whole.drop(columns=["Size", "Type"]), "stores": stores}
    paths = {name: tmp_path / f"{name}.csv" for name in tables}
    for name, table in tables.items():
        table.to_csv(paths[name], index=False)
    return paths


def config(path: Path, **changes: object) -> DataConfig:
    """A regression of the sales."""
    plain = {"source": "table", "path": str(path), "unit": "Store", "time": "t", "targets": ("sales",)}
    return DataConfig(**(plain | changes))  # type: ignore[arg-type]


def joined(files: dict[str, Path], **changes: object) -> DataConfig:
    """The plain table with its companion."""
    changes = {"features": ("Size", "Type")} | changes
    return config(files["plain"], static=StaticConfig(path=str(files["stores"])), **changes)


def test_a_companion_table_gives_what_repeated_columns_give(files) -> None:
    repeated, companion = load_series(config(files["whole"])), load_series(joined(files))
    np.testing.assert_array_equal(repeated.values, companion.values)
    assert repeated.schema.columns == companion.schema.columns
    assert companion.schema.static.columns == ("Size", "Type")


def test_all_columns_of_the_companion_are_inputs_unless_some_are_named(files) -> None:
    schema = load_series(joined(files, features=(), targets=("sales",))).schema
    assert schema.features == ("Size", "Type", "Open")
    assert load_series(joined(files, features=("Size",))).schema.features == ("Size",)


def test_a_stored_table_is_joined_alike(files, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_SEQ_STORES", str(tmp_path / "stores"))
    stored, held = prepare(joined(files, cache=False)), prepare(joined(files))
    np.testing.assert_array_equal(np.asarray(stored.series.values), held.series.values)
    files["stores"].write_text(files["stores"].read_text().replace("100.5", "101.5"))
    changed = prepare(joined(files, cache=False))
    assert changed.series.fingerprint() != stored.series.fingerprint()


def test_prediction_joins_as_training_does(files) -> None:
    series = load_series(joined(files))
    schema, plain = series.schema, files["plain"]
    read = read_rows(plain, schema, CovariatesConfig())
    np.testing.assert_array_equal(read.series.values, series.values)
    np.testing.assert_array_equal(read_rows(files["whole"], schema, CovariatesConfig()).series.values, series.values)
    frame = pd.read_csv(plain)
    np.testing.assert_array_equal(frame_rows(frame, schema, CovariatesConfig()).series.values, series.values)
    np.testing.assert_array_equal(frame_rows(sales(), schema, CovariatesConfig()).series.values, series.values)
    lines = [line.values for line in LineReader(plain.read_text().splitlines(), schema)]
    np.testing.assert_array_equal(lines, series.values)


def test_units_that_the_companion_lacks_are_named(files) -> None:
    schema = load_series(joined(files)).schema
    frame = sales().drop(columns=["Size", "Type"]).replace({"Store": {7: 9}})
    with pytest.raises(DataError, match="has no row for unit '9'; add it: column 'Store' names the units"):
        frame_rows(frame, schema, CovariatesConfig())
    stores = files["stores"].read_text().splitlines()
    files["stores"].write_text("\n".join(stores[:-1]))
    with pytest.raises(DataError, match="has no row for unit '1'"):
        load_series(joined(files))
    files["stores"].write_text("\n".join([*stores, stores[-1]]))
    with pytest.raises(DataError, match="names unit '1' again in data row 4; it needs one row for each unit"):
        load_series(joined(files))
    files["stores"].unlink()
    with pytest.raises(DataError, match=r"from which Size, Type are joined by unit .* is not there"):
        read_rows(files["plain"], schema, CovariatesConfig())


def test_a_companion_needs_units(files) -> None:
    with pytest.raises(ConfigError, match=r"is joined by unit, but no unit column is named; give data\.unit"):
        load_series(joined(files, unit=None))
    other = StaticConfig(path=str(files["stores"]), unit="Shop")
    with pytest.raises(ConfigError, match="has no column 'Shop' that tells the unit"):
        load_series(config(files["plain"], static=other))


def test_the_machines_of_the_small_table_keep_their_site() -> None:
    path = data_home() / "tiny" / "10_static_covariates.csv"
    if not path.is_file():
        pytest.skip("the small tables are not there")
    series = load_series(DataConfig(source="table", path=str(path), unit="unit", time="t", targets=("wear",)))
    own = pd.read_csv(path)
    words = ("", *series.schema.vocabularies["site"])
    site = series.values[:, series.schema.features.index("site")].astype(int)
    assert [words[code] for code in site] == own["site"].tolist()
    np.testing.assert_array_equal(series.values[:, series.schema.features.index("rated_kw")], own["rated_kw"])
