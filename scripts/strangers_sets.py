"""The sets of ``scripts/strangers.py``, and their targets as another reader than ours reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

Truth = Callable[[Path], pd.DataFrame]


@dataclass(frozen=True)
class Stranger:
    """A set and how its owner would bring it.

    Attributes:
        file: below the data home; or a folder.
        target, horizon: what is said of it.
        truth: columns ``unit`` and ``y``, in the order of rows or cases; None where it is not computed again.
            A case that is no test case has no ``y``.
        hand: options of ``init`` beyond target and horizon: the hand work.
        test: official test file beside it.
        per: "step" or "case": what has a target.
        every: rows between two answers that are asked of the server.
    """

    file: str
    target: str
    horizon: int = 0
    truth: Truth | None = None
    hand: tuple[str, ...] = ()
    test: str = ""
    per: str = "step"
    every: int = 20


def _rows(values: pd.Series, unit: object = "all") -> pd.DataFrame:
    return pd.DataFrame({"unit": unit, "y": values.to_numpy()})


def _column(name: str, **options: object) -> Truth:
    return lambda path: _rows(pd.read_csv(path, **options)[name])


def _newest_first(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    return _rows(table.iloc[::-1]["Gasoline"])


def _folder(path: Path) -> pd.DataFrame:
    return pd.concat(_rows(pd.read_csv(file)["soh"], file.stem) for file in sorted(path.glob("*.csv")))


def _walmart(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    return pd.DataFrame({"unit": table["id"], "y": table["Weekly_Sales"]})


def _air(**options: object) -> Truth:
    def read(path: Path) -> pd.DataFrame:
        table = pd.read_csv(path, **options).dropna(how="all").replace(-200, np.nan)
        return _rows(table[next(name for name in table if name.startswith("C6H6"))].astype(float))

    return read


def _air_sheet(path: Path) -> pd.DataFrame:
    table = pd.read_excel(path)
    return _rows(table["C6H6(GT)"].dropna().replace(-200, np.nan))


def _deepar(path: Path) -> pd.DataFrame:
    table = pd.read_json(path, lines=True)
    names = table["item_id"] if "item_id" in table else pd.Series([str(number) for number in range(len(table))])
    return pd.concat(_rows(pd.Series(values), name) for name, values in zip(names, table["target"], strict=True))


def _ts(path: Path) -> pd.DataFrame:
    cases = path.read_text().split("@data\n", 1)[1].split()
    return _rows(pd.Series([case.rsplit(":", 1)[1] for case in cases]))


def _arff_rows(path: Path) -> pd.DataFrame:
    lines = path.read_text().split("@DATA", 1)[1].split()
    return _rows(pd.Series([float(line.rsplit(",", 1)[1]) for line in lines]))


def _npz(path: Path) -> pd.DataFrame:
    with np.load(path) as arrays:
        train = [None] * len(arrays["y_train"])
        return _rows(pd.Series([*arrays["y_test"], *train], dtype=object))  # in the order of the archive


def _wafer(path: Path) -> pd.DataFrame:
    from scipy.io import loadmat

    record = loadmat(path, squeeze_me=True, struct_as_record=False)["mts"]
    return _rows(pd.Series([*[None] * len(record.trainlabels), *record.testlabels], dtype=object))


def _workbook(path: Path) -> pd.DataFrame:
    table = next(sheet for name, sheet in pd.read_excel(path, sheet_name=None).items() if name.startswith("Channel"))
    return _rows(table.drop_duplicates("Date_Time", keep="last")["Voltage(V)"])


AIR, C6H6 = "air_quality_italy/AirQualityUCI", "C6H6(GT)"
STRANGERS = (
    Stranger("nasa_battery", "soh", 1, _folder, every=1),
    Stranger("water_flow/water-flow.csv", "Water flow [l/s]", 6, _column("Water flow [l/s]"), every=5),
    Stranger("us_gasoline/us_gasoline.csv", "Gasoline", 4, _newest_first, every=5),
    Stranger("walmart_weekly/walmart_sales_weekly.csv", "Weekly_Sales", 4, _walmart, every=5),
    Stranger("basic_motions/BasicMotions_TRAIN.ts", "label", truth=_ts, test="BasicMotions_TEST.ts", per="case"),
    Stranger("basic_motions/BasicMotions_TRAIN.arff", "label", per="case"),
    Stranger("trace_npz/Trace.npz", "label", truth=_npz, per="case", every=0),
    Stranger("jvowels/JapaneseVowels_TRAIN.ts", "label", truth=_ts, test="JapaneseVowels_TEST.ts", per="case"),
    Stranger("wafer_mts/Wafer.mat", "label", truth=_wafer, per="case", every=0),
    Stranger("occupancy/datatraining.txt", "Occupancy", truth=_column("Occupancy"), test="datatest.txt"),
    Stranger("eeg_eye_state/EEG Eye State.arff", "eyeDetection", truth=_arff_rows),
    Stranger("calce_battery/CS2_35_8_17_10.xlsx", "Voltage(V)", 12, _workbook),
    Stranger("m4_hourly/m4_hourly_20_deepar_converted.jsonl", "target", 48, _deepar, every=100),
    Stranger("exchange_rate/exchange_rate.txt.gz", "column_8", 96, lambda path: _column(7, header=None)(path)),
    Stranger(f"{AIR}_decimal_comma_lost.csv", C6H6),
    Stranger(f"{AIR}.csv", "C6H6_GT", truth=_air()),
    Stranger(f"{AIR}.xlsx", C6H6, truth=_air_sheet),
    Stranger(f"{AIR}_bom_mixed_date_order.csv", C6H6, truth=_air()),
    Stranger(f"{AIR}_bom_quoted_decimal_comma.csv", C6H6, truth=_air(decimal=",")),
    Stranger(f"{AIR}_semicolon_decimal_comma.csv", C6H6, truth=_air(sep=";", decimal=",")),
    Stranger("beijing_pm25/pollution.csv", "pm2.5", 1, _column("pm2.5"), every=50),
    Stranger("bike_hourly/bike_sharing_dataset_clean.csv", "users", 24, _column("users")),
    Stranger("vic_electricity/vic_electricity.csv", "Demand", 48, _column("Demand"), every=100),
    Stranger("m4_hourly/m4_hourly.parquet", "value", 48, every=0),
)
