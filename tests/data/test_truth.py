"""What no known source may do: let later rows, test rows or labels be seen where they are not known yet."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from keras_seq import config
from keras_seq.commands.data import state
from keras_seq.data.covariates.add import add_covariates
from keras_seq.data.home import data_home
from keras_seq.data.observe_calendar import with_calendar
from keras_seq.data.prepare import prepare_series
from keras_seq.data.sources import known_sources, load_series
from tests.factories.experiments import caster_tree, co2_tree

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = {"ett": "etth1", "market": "sp500", "cmapss": "cmapss_fd001"}
SOURCES = [name for name, info in known_sources().items() if not (info.is_table or info.is_shards)]
PAST = {"covariates.lags": [1, 3], "covariates.rolling": [4]}  # columns of the past, where a unit has one target a step


def experiment(source):
    """The shipped configuration of a source, or a small one of an embedded source."""
    info = known_sources()[source]
    if not info.embedded and not state(info, data_home(None)).startswith("found"):
        pytest.skip(f"source '{source}' is not in the data home")
    if source == "caster":
        return config.from_dict(caster_tree(sequences=80, longest=120))
    if source == "co2":
        return config.from_dict(co2_tree())
    return config.load(CONFIGS / f"{FILES.get(source, source)}.yaml")


def with_past(data, series):
    """The data section, with columns of the past where the source bears them."""
    if series.schema.task != "forecast":
        return data
    return config.replace(config.Experiment(data=data), **{f"data.{key}": value for key, value in PAST.items()}).data


def rows_of(part):
    """Absolute target rows of a part."""
    return np.concatenate([np.arange(low, high) for low, high in zip(part.first, part.last, strict=True)])


def covered(prepared, name):
    """Everything that the windows of a part hold: input values and known targets."""
    index, series = prepared.index[name], prepared.series
    rows = np.unique(np.concatenate([np.arange(s, s + n) for s, n in zip(index.start, index.length, strict=True)]))
    if series.schema.target_per == "unit":
        return series.values[rows], series.targets[np.unique(index.unit)]
    return series.values[rows], series.targets[rows_of(getattr(prepared.splits, name))]


@pytest.mark.parametrize("source", SOURCES)
def test_later_rows_change_no_earlier_ones(source):
    data = experiment(source).data
    series = load_series(data, checked=False)
    data = with_past(data, series)
    draw = np.random.default_rng(0)
    values, targets = series.values.copy(), series.targets.copy()
    early = np.zeros(len(values), bool)
    for low, high in zip(series.offsets[:-1], series.offsets[1:], strict=True):
        cut = (low + high) // 2
        early[low:cut] = True
        order = cut + draw.permutation(high - cut)
        values[cut:high] = values[order] * 3 + 1
        if series.schema.target_per == "step":
            targets[cut:high] = targets[order]
    changed = dataclasses.replace(series, values=values, targets=targets)
    one, other = (add_covariates(with_calendar(some), data.covariates) for some in (series, changed))
    assert one.schema.features == other.schema.features
    np.testing.assert_array_equal(one.values[early], other.values[early])
    assert not np.array_equal(one.values[~early], other.values[~early])
    if series.schema.target_per == "step":
        np.testing.assert_array_equal(one.targets[early], other.targets[early])


@pytest.mark.parametrize("source", SOURCES)
def test_test_rows_change_nothing_that_is_fitted_or_trained_on(source):
    data = experiment(source).data
    series = load_series(data, checked=False)
    data = with_past(data, series)
    before = prepare_series(add_covariates(with_calendar(series), data.covariates), data)
    rows = rows_of(before.splits.test)
    values, targets = series.values.copy(), series.targets.copy()
    values[rows] = np.nanmax(values, axis=0)  # far from what they were, within the ranges of the schema
    if series.schema.task in ("regression", "forecast"):
        chosen = before.splits.test.units if series.schema.target_per == "unit" else rows
        targets[chosen] = np.nanmax(targets, axis=0)
    poisoned = dataclasses.replace(series, values=values, targets=targets)
    after = prepare_series(add_covariates(with_calendar(poisoned), data.covariates), data)
    assert after.splits.fingerprint == before.splits.fingerprint and after.spec == before.spec
    for name in ("train", "validation"):
        for one, other in zip(covered(before, name), covered(after, name), strict=True):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(covered(before, "test")[0], covered(after, "test")[0])


@pytest.mark.slow
@pytest.mark.parametrize("source", ["caster", "jvowels", "cmapss", "co2"])
def test_shuffled_labels_leave_a_model_at_chance(source):
    from keras_seq.models.registry import get_family, resolve_experiment
    from keras_seq.training.predictions import locate, predict_windows

    changes = {"model.family": "ridge", "model.variant": None}
    chosen = resolve_experiment(config.replace(experiment(source), **changes))
    series = with_calendar(load_series(chosen.data, checked=False))
    draw, targets = np.random.default_rng(0), series.targets.copy()
    order = draw.permutation(len(targets))
    shuffled = dataclasses.replace(series, targets=targets[order])
    if series.schema.task == "forecast":  # its inputs are its targets
        shuffled = dataclasses.replace(shuffled, values=series.values[order])
    prepared = prepare_series(shuffled, chosen.data)
    model = get_family("ridge").fit(chosen, prepared, lambda text: None)
    index = prepared.index["test"]
    answers = predict_windows(model, shuffled, index, prepared.spec, chosen.data)
    truth = locate(shuffled, index, prepared.spec)[0]
    answers, truth = answers.reshape(len(truth), -1), truth.reshape(len(truth), -1)
    if series.schema.task == "multiclass":
        commonest = max(np.mean(truth[:, 0] == number) for number in range(answers.shape[1]))
        assert np.mean(answers.argmax(axis=1) == truth[:, 0]) < commonest + 0.1
    elif series.schema.task == "binary":
        ranks = answers[:, 0].argsort().argsort()[truth[:, 0] == 1]
        positives, negatives = len(ranks), len(truth) - len(ranks)
        assert abs((ranks.sum() - positives * (positives - 1) / 2) / (positives * negatives) - 0.5) < 0.2
    else:
        assert np.mean((answers - truth) ** 2) > 0.9 * truth.var()
