"""What cannot be built is refused before building, in words that say what to set."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keras_seq.config import ModelConfig
from keras_seq.errors import ConfigError
from keras_seq.models.registry import families, get_family, register, resolve


@pytest.mark.parametrize("family, task, settings, spec, match", [
    ("lstmm", "regression", {}, {}, "no family 'lstmm'; did you mean 'lstm'"),
    ("bilstm", "per_step", {}, {}, "from both ends"),
    ("lstm", "per_step", {"bidirectional": True}, {}, "model.bidirectional"),
    ("tcn", "per_step", {"variant": "bidirectional"}, {}, "from both ends"),
    ("cnn_lstm", "per_step", {"pool_size": 2}, {}, "model.pool_size"),
    ("transformer", "regression", {"units": 10, "heads": 4}, {}, "4 heads do not divide model.units=10.*heads to 5"),
    ("attention_lstm", "regression", {"units": 6, "heads": 8}, {}, "8 heads do not divide"),
    ("gru", "per_step", {}, {"impute": "interpolate"}, "data.impute"),
    ("gru", "per_step", {"normalisation": "instance"}, {}, "model.normalisation"),
    ("gru", "forecast", {"normalisation": "instance"}, {"target_index": ()}, "every target among the"),
    ("gru", "forecast", {}, {"per_step": True}, "data.windows.per_step"),
    ("gru", "forecast", {}, {"horizon": 0}, "data.windows.horizon"),
    ("gru", "binary", {"quantiles": (0.5,)}, {}, "model.quantiles"),
    ("gru", "quantiles", {}, {"targets": ("a", "b")}, "takes one target"),
    ("gru", "multiclass", {}, {"classes": ("only",)}, "at least 2 classes"),
])  # fmt: skip
def test_refused(tools, family, task, settings, spec, match):
    from keras_seq.models import build_model

    with pytest.raises(ConfigError, match=match):
        build_model(tools.make_config(family, task, **settings), tools.make_spec(task, **spec))


def test_every_family_has_the_named_variants():
    for name, family in families().items():
        if name in ("nlinear", "dlinear"):  # have no sizes
            assert set(family.variants) == {"standard"}
            continue
        assert set(family.variants) == {"standard", "bidirectional", "deep", "lightweight"}, name


def test_explicit_fields_win_over_the_variant():
    resolved = resolve(ModelConfig(family="lstm", variant="deep", units=48))
    assert (resolved.layers, resolved.units, resolved.variant) == (4, 48, "deep")
    assert resolve(ModelConfig(family="tcn")).layers == 6
    assert resolve(ModelConfig(family="tcn", layers=2)).layers == 2


def test_resolving_again_changes_nothing():
    once = resolve(ModelConfig(family="cnn_lstm", variant="lightweight"))
    assert resolve(ModelConfig.model_validate(once.model_dump())) == once


@pytest.mark.parametrize("variant", ["standard", "bidirectional", "deep", "lightweight"])
def test_variants_differ_in_size_and_build(tools, variant):
    from keras_seq.models import build_model, parameter_count

    counts = {
        name: parameter_count(build_model(ModelConfig(family="gru", variant=name), tools.make_spec("regression")))
        for name in {variant, "lightweight"}
    }
    assert counts[variant] >= counts["lightweight"]


def test_a_variant_of_an_unknown_field_is_refused():
    with pytest.raises(ConfigError, match=r"sets 'unit'.*did you mean 'units'"):
        register("broken", variants={"deep": {"unit": 3}})


def test_an_unknown_family_answers_without_tensorflow():
    code = (
        "import sys\nfrom keras_seq.config import ModelConfig\nfrom keras_seq.errors import ConfigError\n"
        "from keras_seq.models import build_model\n"
        "try: build_model(ModelConfig(family='grru'), None)\n"
        "except ConfigError as error: assert \"'gru'\" in str(error)\n"
        "else: raise SystemExit('not refused')\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_get_family_gives_the_registered_body():
    assert get_family("gru").body.__name__ == "gru"
