"""The sets and peers of ``scripts/leaderboard``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A set as its owner would bring it, and how answers to it are judged.

    Attributes:
        name: of its line.
        file: below the data home; or a folder.
        target, horizon: what is said to ``init``.
        metric: by which the line is ordered: of forecasts "mae", "rmse", "smape" or "mse_scaled"; "accuracy", "auc_pr".
        data: further options of ``data``, for ``train`` too: an official test part that the file does not tell of.
        season: rows of a season, for the seasonal peers; 0: none.
        best: configuration of ours that was tuned to the set, below ``configs``; or options on top of what init wrote.
    """

    name: str
    file: str
    target: str
    horizon: int = 0
    metric: str = "mae"
    data: tuple[str, ...] = ()
    season: int = 0
    best: str | tuple[str, ...] = ()

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return self.metric in ("accuracy", "auc_pr")


@dataclass(frozen=True)
class Peer:
    """A way of another library, run by a script in an environment of its own.

    Attributes:
        name: of its column entry.
        library: folder of its environment; "" is the project's own.
        packages: what is installed there.
        script: below ``scripts/peers``; called with the rows, the file for the answers, and ``method``.
        method: which of the script's ways.
        kind: of rows it can answer: "windows" or "forecast".
    """

    name: str
    library: str
    packages: tuple[str, ...]
    script: str
    method: str
    kind: str


LAST_48 = ("--data.split.validation", "48", "--data.split.test", "48")
SETS = (
    Entry("exchange_rate", "exchange_rate/exchange_rate.txt.gz", "column_8", 96),
    Entry("m4_hourly", "m4_hourly/m4_hourly.parquet", "value", 48, "smape", LAST_48, 24),
    Entry("walmart_weekly", "walmart_weekly/walmart_sales_weekly.csv", "Weekly_Sales", 4, season=52),
    Entry("vic_electricity", "vic_electricity/vic_electricity.csv", "Demand", 48, season=336),
    Entry("bike_hourly", "bike_hourly/bike_sharing_dataset_clean.csv", "users", 24, season=168),
    Entry("beijing_pm25", "beijing_pm25/pollution.csv", "pm2.5", 1, season=24),
    Entry("water_flow", "water_flow/water-flow.csv", "Water flow [l/s]", 6, season=24),
    Entry("us_gasoline", "us_gasoline/us_gasoline.csv", "Gasoline", 4, season=52),
    Entry("air_quality", "air_quality_italy/AirQualityUCI.csv", "C6H6_GT", 1, season=24),
    Entry("nasa_battery", "nasa_battery", "soh", 1),
    Entry("calce_battery", "calce_battery/CS2_35_8_17_10.xlsx", "Voltage(V)", 12),
    Entry("trace", "trace_npz/Trace.npz", "label", metric="accuracy"),
    Entry("basic_motions", "basic_motions/BasicMotions_TRAIN.ts", "label", metric="accuracy"),
    Entry("jvowels", "jvowels/JapaneseVowels_TRAIN.ts", "label", metric="accuracy", best="jvowels.yaml"),
    Entry("wafer", "wafer_mts/Wafer.mat", "label", metric="accuracy", best="wafer.yaml"),
    Entry("occupancy", "occupancy/datatraining.txt", "Occupancy", metric="accuracy"),
    Entry("eeg_eye_state", "eeg_eye_state/EEG Eye State.arff", "eyeDetection", metric="accuracy"),
)

OWN = ("", (), "windows_sklearn.py")
AEON = ("aeon", ("aeon",), "windows_aeon.py")
STATS = ("statsforecast", ("statsforecast",), "forecasts_stats.py")
BOOSTED = ("mlforecast", ("mlforecast", "lightgbm"), "forecasts_boosted.py")
NEURAL = ("neuralforecast", ("neuralforecast",), "forecasts_neural.py")
PEERS = (
    Peer("scikit-learn extra trees", *OWN, "extra_trees", "windows"),
    Peer("scikit-learn boosting", *OWN, "boosting", "windows"),
    Peer("scikit-learn logistic", *OWN, "logistic", "windows"),
    Peer("aeon MiniRocket", *AEON, "minirocket", "windows"),
    Peer("aeon MultiRocketHydra", *AEON, "multirocket_hydra", "windows"),
    Peer("last value", "", (), "forecasts_naive.py", "last", "forecast"),
    Peer("seasonal naive", "", (), "forecasts_naive.py", "seasonal", "forecast"),
    Peer("scikit-learn ridge", "", (), "forecasts_sklearn.py", "ridge", "forecast"),
    Peer("scikit-learn extra trees", "", (), "forecasts_sklearn.py", "extra_trees", "forecast"),
    Peer("statsforecast AutoETS", *STATS, "ets", "forecast"),
    Peer("statsforecast AutoTheta", *STATS, "theta", "forecast"),
    Peer("mlforecast LightGBM", *BOOSTED, "lightgbm", "forecast"),
    Peer("neuralforecast NHITS", *NEURAL, "NHITS", "forecast"),
    Peer("neuralforecast NLinear", *NEURAL, "NLinear", "forecast"),
)
