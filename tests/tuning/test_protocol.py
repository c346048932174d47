"""On what trials are judged, when they are pruned, and which metric a study may be about."""

from __future__ import annotations

import numpy as np
import pytest

from keras_seq import config
from keras_seq.data.prepare import prepare
from keras_seq.errors import ConfigError
from tuning.folds import DataCache, fewer_units, parts, without_test
from tuning.objective import choose_objective
from tuning.pruning import MedianRule
from tuning.records import Record
from tuning.settings import settings

CO2 = {
    "name": "co2",
    "data": {
        "source": "co2",
        "split": {"by": "time", "validation": 200, "test": 100},
        "windows": {"mode": "sliding", "length": 26, "horizon": 1},
        "impute": "forward",
    },
}
CASTER = {
    "data": {
        "source": "caster",
        "caster": {"sequences": 120, "heats": 24, "min_length": 90, "max_length": 100},
        "split": {"by": "group"},
        "windows": {"length": 100},
    }
}


def test_folds_are_folds_of_the_units_without_test():
    made = parts(config.from_dict(CASTER), settings({"folds": 3}))
    prepared = [without_test(prepare(part.data)) for part in made]
    validation = [set(p.index["validation"].unit.tolist()) for p in prepared]
    assert not set.intersection(*validation)
    assert all(len(p.index["test"]) == 0 for p in prepared)
    held_out = set(prepared[0].splits.test.units.tolist())
    seen = set().union(*(set(p.index["train"].unit.tolist()) | v for p, v in zip(prepared, validation, strict=True)))
    assert held_out and not held_out & seen


def test_rolling_origins_stay_before_the_test_rows_and_never_look_ahead():
    experiment = config.from_dict(CO2)
    whole = prepare(experiment.data)
    test_begins = int(whole.splits.test.first.min())
    ends = []
    for part in parts(experiment, settings({"origins": 4})):
        prepared = without_test(prepare(part.data))
        train, validation = prepared.splits.train, prepared.splits.validation
        assert train.last.max() <= validation.first.min()
        assert validation.last.max() <= test_begins
        assert validation.rows == 50
        ends.append(int(validation.last.max()))
    assert ends == sorted(set(ends)) and ends[-1] == test_begins


@pytest.mark.parametrize(
    ("tree", "tuning", "message"),
    [
        (CASTER, {"origins": 2}, r"needs data.split.by=time"),
        (CO2, {"origins": 3}, r"200 validation steps do not divide"),
    ],
)
def test_protocols_that_cannot_be_are_refused(tree, tuning, message):
    with pytest.raises(ConfigError, match=message):
        parts(config.from_dict(tree), settings(tuning))


def test_fewer_units_are_nested_whole_units():
    prepared = prepare(config.from_dict(CASTER).data)
    small, large = (set(fewer_units(prepared, share).index["train"].unit.tolist()) for share in (0.25, 0.5))
    everything = set(prepared.index["train"].unit.tolist())
    assert small < large < everything
    assert len(large) == -(-len(everything) // 2)
    assert fewer_units(prepared, 1.0) is prepared


def test_data_are_prepared_once_unless_the_trial_changes_them():
    cache, experiment = DataCache(), config.from_dict(CASTER)
    first = cache.get(experiment.data)
    jittered = config.replace(experiment, **{"data.augment.jitter": 0.2, "data.bucket": 20})
    assert cache.get(jittered.data) is first
    assert cache.get(config.replace(experiment, **{"data.scale": "robust"}).data) is not first


def test_nothing_of_the_test_part_reaches_a_trial():
    experiment = config.from_dict(CASTER)
    prepared = DataCache().get(experiment.data)
    tested = set(prepared.splits.test.units.tolist())
    for index in prepared.index.values():
        assert not tested & set(np.unique(index.unit).tolist())


def record(number, curve, scores=(), status="completed", budget=1.0):
    epochs = tuple({"fold": 0, "epoch": i + 1, "val_rmse": value} for i, value in enumerate(curve))
    return Record(str(number), {}, status=status, score=min(curve), scores=tuple(scores), epochs=epochs, budget=budget)


def rule(records, **options):
    settings_ = {"higher": False, "budget": 1.0, "after": 3, "from_share": 0.25} | options
    return MedianRule(records, "val_rmse", **settings_)


def test_the_median_rule_by_hand():
    others = [record(0, [9, 8, 7, 6]), record(1, [9, 7, 5, 4]), record(2, [9, 9, 9, 2])]
    judge = rule(others)
    assert judge.hopeless(1, 4, 9.0) == ""  # as good as the median
    assert "median 8" in judge.hopeless(2, 4, 8.5)
    judge = rule(others)
    assert judge.hopeless(1, 4, 5.0) == "" and judge.hopeless(2, 4, 100.0) == ""  # its best so far counts
    assert rule(others).hopeless(4, 4, 100.0) == ""  # nothing is saved at the last epoch


def test_the_median_rule_waits_and_compares_equal_budgets_only():
    others = [record(n, [1, 1, 1, 1]) for n in range(3)]
    assert rule(others, after=4).hopeless(2, 4, 50.0) == ""
    assert rule(others, from_share=0.9).hopeless(2, 4, 50.0) == ""
    assert rule([record(n, [1, 1], budget=0.1) for n in range(5)]).hopeless(1, 4, 50.0) == ""
    assert rule(others).hopeless(2, 4, 50.0)


def test_between_folds_the_mean_so_far_is_compared():
    others = [record(n, [1.0], scores=(1.0, 2.0, 3.0)) for n in range(3)]
    assert rule(others).hopeless_folds([1.4, 2.0])
    assert rule(others).hopeless_folds([1.0]) == ""
    higher = rule(others, higher=True)
    assert higher.hopeless_folds([0.5]) and not higher.hopeless_folds([1.5])


def test_objectives_by_task():
    assert choose_objective(settings({}), "regression") == ("rmse", "min")
    assert choose_objective(settings({}), "binary") == ("auc_pr", "max")
    assert choose_objective(settings({"objective": "val_mae"}), "forecast") == ("mae", "min")
    assert choose_objective(settings({"objective": "mcc", "direction": "min"}), "binary") == ("mcc", "min")
    with pytest.raises(ConfigError, match=r"a regression task lacks"):
        choose_objective(settings({"objective": "auc_roc"}), "regression")
