"""A second opinion: which sensors a random forest on the same data uses, by Tree SHAP of the same samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keras_seq import config
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.explained_model import ExplainedModel
from keras_seq.explain.faithfulness import spearman
from keras_seq.explain.masked_model import MaskedModel
from keras_seq.models.registry import get_family, resolve_experiment

if TYPE_CHECKING:
    from keras_seq.explain.run import Explainer

BACKGROUNDS = 20  # Tree SHAP's cost is linear in them


def forest_attribution(opened: Explainer, family: str = "random_forest", **settings: Any) -> Attribution:
    """Fit a forest to the bundle's training windows and explain the bundle's samples by it.

    Args:
        opened: of the network.
        family: of trees.
        settings: of the model section, such as ``trees={"iterations": 100}``.

    Raises:
        ConfigError: the family does not serve the task.
    """
    from keras_seq.explain.shap_values import tree

    own = config.to_dict(opened.bundle.experiment) | {"model": {"family": family, **settings}}
    experiment = resolve_experiment(config.from_dict(own))
    fit = get_family(family).fit
    assert fit is not None  # families of trees are fitted
    model = fit(experiment, opened.prepared, lambda text: None)
    asked = ExplainedModel(model, opened.bundle.spec, opened.game.asked.question)
    background = replace(opened.game.background, count=min(BACKGROUNDS, opened.game.background.count))
    game = MaskedModel(asked, opened.game.samples, background, schema_units=opened.game.units, ticker=opened.ticker)
    return tree(game, model=model)


def compare_ranks(found: Attribution, other: Attribution) -> tuple[list[dict[str, Any]], float]:
    """Ranks and shares of every feature in both, and the rank correlation of those that either uses."""
    one, two = found.importance(), other.importance()
    order = one.argsort()[::-1]
    ranks = two.argsort()[::-1].argsort()
    rows = [
        {
            "feature": found.features[f],
            "rank": rank,
            "share": float(one[f] / max(one.sum(), 1e-12)),
            "other_rank": int(ranks[f]) + 1,
            "other_share": float(two[f] / max(two.sum(), 1e-12)),
        }
        for rank, f in enumerate(order, 1)
    ]
    return rows, spearman(one, two)
