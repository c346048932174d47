"""What "off" means, component by component; the interval against scipy; the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_seq import config
from keras_seq.errors import ConfigError
from keras_seq.evaluation.ablation import COMPONENTS, compare, to_markdown, variants

CONFIGS = Path(__file__).parents[2] / "configs"
EVERYTHING = {
    "model": {
        "family": "attention_lstm",
        "layers": 3,
        "bidirectional": True,
        "pooling": "attention",
        "normalisation": "layer",
        "history": {"ewm": [0.9], "elapsed": 100},
        "input_noise": 0.1,
        "input_dense": 8,
        "dropout": 0.3,
    },
    "data": {"augment": {"jitter": 0.1, "mixup": 0.2}, "conditions": 6, "windows": {"mode": "sliding", "length": 40}},
    "training": {"loss": "phm08", "schedule": "cosine", "class_weight": "balanced"},
}


def test_every_component_of_a_full_configuration_can_be_switched_off_alone():
    experiment = config.from_dict(EVERYTHING)
    found = variants(experiment, "regression")
    assert set(found) == set(COMPONENTS)
    for name, changes in found.items():
        without = config.replace(experiment, **changes)
        assert without != experiment
        left = variants(without, "regression")
        if name != "lookback":  # a shorter window can be shortened again
            assert name not in left, name
        others = set(found) - {name} - ({"bidirectional"} if name == "attention" else set())
        assert others <= set(left) | {"lookback"}, f"switching {name} off took {others - set(left)} along"
    assert found["attention"] == {"model.family": "lstm", "model.pooling": "mean"}
    assert found["augmentation"] == {"data.augment.jitter": 0.0, "data.augment.mixup": 0.0}
    assert found["history"] == {"model.history.ewm": [], "model.history.elapsed": 0.0}
    assert found["lookback"] == {"data.windows.length": 10}
    assert found["loss"] == {"training.loss": "mse"}


def test_what_is_not_on_is_not_switched_off():
    plain = config.from_dict({"model": {"family": "lstm", "layers": 1, "dropout": 0}, "training": {"loss": "mse"}})
    found = variants(plain, "regression", ["layers", "noise", "loss", "lookback"])
    assert list(found) == ["lookback"]
    with pytest.raises(ConfigError, match=r"none of layers, attention.*nothing to switch off"):
        variants(plain, "regression", ["layers", "attention"])
    with pytest.raises(ConfigError, match="no component 'layer'; did you mean 'layers'"):
        variants(plain, "regression", ["layer"])


def test_whole_histories_lose_their_past_but_are_asked_the_same():
    experiment = config.load(CONFIGS / "cmapss_fd001.yaml")
    off = config.replace(experiment, **variants(experiment, "regression", ["lookback"])["lookback"])
    windows = off.data.windows
    assert (windows.mode, windows.length, windows.per_step) == ("sliding", 30, False)
    assert windows.length == experiment.evaluation.min_steps  # first window ends where judging begins


def test_automatic_loss_is_known_by_task():
    experiment = config.from_dict({"training": {"loss": "auto"}})
    assert variants(experiment, "regression", ["loss"]) == {"loss": {"training.loss": "mse"}}
    with pytest.raises(ConfigError, match="none of loss"):
        variants(experiment, "binary", ["loss"])
    focal = config.from_dict({"training": {"loss": "focal"}})
    assert variants(focal, "multiclass", ["loss"]) == {"loss": {"training.loss": "cce"}}


def runs(values, metric="rmse"):
    """Runs of seeds by folds."""
    return [
        {"seed": seed, "fold": fold, "metrics": {"validation": {metric: value}}}
        for seed, row in enumerate(values)
        for fold, value in enumerate(row)
    ]


def test_the_interval_is_that_of_a_paired_t_test_over_seeds():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(0)
    full, off = rng.normal(10, 1, (4, 5)), rng.normal(11, 1, (4, 5))
    row = compare(runs(full), runs(off), "regression", "validation")
    oracle = ttest_rel(off.mean(1), full.mean(1)).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((oracle.low, oracle.high))
    assert row["difference"] == pytest.approx(off.mean() - full.mean())
    assert row["n"] == 4


@pytest.mark.parametrize(
    ("task", "metric", "off", "verdict"),
    [
        ("regression", "rmse", [[12.0], [12.1], [11.9]], "helps"),
        ("regression", "rmse", [[8.0], [8.1], [7.9]], "hurts"),
        ("regression", "rmse", [[9.0], [10.0], [11.5]], "not told apart"),
        ("binary", "auc_pr", [[12.0], [12.1], [11.9]], "hurts"),
        ("binary", "auc_pr", [[8.0], [8.1], [7.9]], "helps"),
    ],
)
def test_verdicts_know_which_way_is_better(task, metric, off, verdict):
    full = runs([[10.0], [10.0], [10.0]], metric)
    row = compare(full, runs(off, metric), task, "validation")
    assert row["verdict"] == verdict
    assert (row["gain"] > 0) == (verdict == "helps") or verdict == "not told apart"


def test_one_seed_gives_no_interval_and_says_so():
    row = compare(runs([[10.0, 11.0]]), runs([[12.0, 12.0]]), "regression", "validation")
    assert np.isnan(row["low"]) and row["verdict"] == "not told apart"
    text = to_markdown({"name": "x", "part": "validation", "folds": 2, "components": {"noise": row}, "failed": {}})
    assert "1 seed, 2 folds" in text
    assert "| noise | no noise on inputs | 12 | +1.5 | one seed |" in text
