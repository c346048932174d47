"""Every fitted family and every kind of ensemble as a whole model, fitted on real data: SavedModel, ONNX, TFLite.

Networks are in ``tests/contract/test_formats.py``; a family added to the registry is in one of the two by itself.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from keras_seq import config
from keras_seq.errors import ConfigError, DataError
from keras_seq.export.canary import answers_of
from keras_seq.export.formats import write_formats
from keras_seq.export.gate import check_canary
from keras_seq.export.metadata import Source
from keras_seq.export.onnx import inspect_onnx
from keras_seq.export.parity import check_parity
from keras_seq.export.samples import spread, window_arrays
from keras_seq.export.signatures import write_signatures
from keras_seq.models.registry import get_family, names, networks, resolve_experiment
from tests.factories.experiments import co2_tree
from tests.factories.tiers import tiers

ENGINES = {
    "source": "cmapss",
    "subset": "FD001",
    "target_cap": 125,
    "features": ["T50", "P30", "phi"],
    "split": {"by": "official", "validation": 0.2},
}
ETCH = {"source": "wafer", "split": {"by": "official", "validation": 0.2}, "bucket": 60}
DATA = {
    "variable": ENGINES | {"windows": {"mode": "whole", "length": 60, "per_step": True}, "bucket": 60},
    "fixed": ENGINES | {"windows": {"mode": "sliding", "length": 20, "stride": 10}},
    "classes": ETCH | {"windows": {"mode": "whole", "length": 60}},
    "forecast": co2_tree(60, 2, held_out=(40, 40))["data"] | {"impute": "forward"},
}
SMALL = {"trees": {"iterations": 12, "learning_rate": 0.2, "most_rows": 4000}, "arima": {"order": [0, 1, 1]}}
NETWORK = {"units": 4, "layers": 1, "hidden_dims": [], "dropout": 0.0}
REFUSED: dict[str, set[str]] = {}  # formats that a family cannot be written in; each is named in the report
ASK = functools.partial(answers_of, only=["serving_default"])  # examples need the metadata of an export
FITTED = sorted(set(names()) - set(networks()))


@functools.cache
def prepared(kind: str) -> Any:
    from keras_seq.data.prepare import prepare

    return prepare(config.from_dict({"data": DATA[kind]}).data)


@functools.cache
def fitted(family: str, kind: str) -> Any:
    """The fitted model, or why the family refuses such data."""
    if family == "lightgbm":
        pytest.importorskip("lightgbm", reason="the optional extra 'trees' is not installed")
    tree = {"data": DATA[kind], "model": {"family": family, **SMALL}, "training": {"epochs": 1, "batch_size": 64}}
    if family == "hybrid":
        tree["model"] |= NETWORK
    try:
        return get_family(family).fit(resolve_experiment(config.from_dict(tree)), prepared(kind), lambda text: None)
    except (ConfigError, DataError) as refusal:
        return str(refusal)


def proved(model: Any, kind: str, folder: Any, *, family: str) -> None:
    """Write the model in three formats and compare each with Keras on real test windows."""
    found = prepared(kind)
    source = Source(model, found.spec, schema=found.series.schema)
    index = spread(found.index["test"], 24)
    windows = window_arrays(found.series, found.spec, index.start, index.length)
    write_signatures(source, folder / "saved_model")
    check, _ = check_canary(source, folder / "saved_model", windows, ASK, "here")
    assert not check.reasons and "serving_default" in check.found, check
    written, failed = write_formats(source, folder, ["onnx", "tflite"])
    assert set(failed) == REFUSED.get(family, set()), failed
    assert all(reason.strip() for reason in failed.values())
    report = check_parity(source, windows, written)
    assert report.passed and len(report.formats) == 2 - len(failed), report.reasons
    if "onnx" in written:
        assert not inspect_onnx(written["onnx"]).loops


FORECASTERS = [family for family in FITTED if family in ("sarimax", "hybrid", "mean", "naive", "seasonal_naive")]
KINDS = [(family, kind) for family in FITTED for kind in ("variable", "fixed", "forecast")] + [
    ("minirocket", "classes")
]
KIND_OF = {family: "forecast" for family in FORECASTERS} | {"extra_trees": "variable", "minirocket": "classes"}
ALIKE = ("random_forest", "last_row_forest")  # the layers of extra_trees
EACH = [(family, KIND_OF.get(family, "fixed")) for family in FITTED if family not in ALIKE]


@pytest.mark.parametrize(("family", "kind"), tiers(KINDS, slow=EACH))
def test_every_fitted_family_agrees(data_home, tmp_path, family, kind):
    model = fitted(family, kind)
    if isinstance(model, str):
        assert any(not isinstance(fitted(family, other), str) for other in DATA), model
        pytest.skip(f"not for such data: {model}")
    proved(model, kind, tmp_path, family=family)


def members(kind: str) -> list[Any]:
    """An LSTM of random weights and boosted trees: as different as members can be."""
    import keras

    from keras_seq.models import build_model

    keras.utils.set_random_seed(0)
    settings = config.ModelConfig(family="lstm", **NETWORK)
    network = build_model(settings, prepared(kind).spec)
    for weight in network.trainable_weights:  # biases too: zero ones hide wrong handling of padding
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.2, seed=1))
    return [network, fitted("hist_gradient_boosting", kind)]


RULES = {
    "weighted": {"kind": "weights", "weights": (0.3, 0.7)},
    "median": {"kind": "median"},
    "voting": {"kind": "vote", "thresholds": (0.5, 0.3)},
    "stacking": {"kind": "linear", "kernel": ((0.4,), (0.7,)), "bias": (0.1,)},
    "dynamic": {"kind": "recent", "ages": (1, 2)},
}


ENSEMBLES = [
    ("weighted", "variable"), ("weighted", "fixed"), ("weighted", "classes"), ("median", "fixed"),
    ("voting", "classes"), ("stacking", "classes"), ("stacking", "fixed"), ("dynamic", "forecast"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "kind"), tiers(ENSEMBLES, slow=[ENSEMBLES[k] for k in (0, 6)]))
def test_every_ensemble_agrees(data_home, tmp_path, rule, kind):
    from keras_seq.ensembles.graph import build_ensemble
    from keras_seq.ensembles.rules import Rule

    spec = prepared(kind).spec
    made = Rule(task=spec.task, **RULES[rule])
    model = build_ensemble([[member] for member in members(kind)], made, spec)
    answers = np.asarray(model(_few(kind), training=False))
    assert np.isfinite(answers).all() and answers.std() > 0
    proved(model, kind, tmp_path, family="ensemble")


def _few(kind: str) -> dict[str, np.ndarray]:
    found = prepared(kind)
    index = spread(found.index["test"], 8)
    return window_arrays(found.series, found.spec, index.start, index.length)
