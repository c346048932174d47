"""How far the attributions of a run are to be trusted: everything that is measured beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seq.errors import DataError
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.faithfulness import Curves, agreement, curves, grouped, randomised, spearman
from keras_seq.explain.views import interactions

if TYPE_CHECKING:
    from keras_seq.explain.explainer import Explainer


@dataclass(frozen=True)
class ExplanationScores:
    """Checks of a run.

    Attributes:
        agreement: rank correlations of the methods.
        curves: deletion and insertion by method, and of a random order.
        interactions: joint effects of the main method's top sensors.
        importance: permutation importance; empty where the truth is unknown.
        sanity: rank correlation with attributions of shuffled weights, and with those over other backgrounds; empty
            unless asked for.
    """

    agreement: list[dict[str, Any]]
    curves: dict[str, Curves]
    interactions: list[dict[str, Any]]
    importance: list[dict[str, Any]]
    sanity: dict[str, float] = field(default_factory=dict)

    @property
    def areas(self) -> dict[str, tuple[float, float]]:
        """Areas under deletion and insertion."""
        return {name: one.areas for name, one in self.curves.items()}


def score_explanations(explainer: Explainer, attributions: Mapping[str, Attribution]) -> ExplanationScores:
    """Measure agreement, faithfulness, interactions, importance, and where asked for sanity and stability."""
    main, masked, plan = attributions[explainer.methods[0]], explainer.masked, explainer.plan
    measured: dict[str, Curves] = {}
    with explainer.ticker.stage("faithfulness", len(attributions) + 1) as tick:
        for name, one in attributions.items():
            measured[name] = curves(masked, one, blocks=plan.blocks)
            tick()
        measured["random"] = curves(masked, None, blocks=plan.blocks, seed=plan.seed)
    several = main.values.shape[2] > 1
    return ExplanationScores(
        agreement(attributions, plan.blocks),
        measured,
        interactions(masked, main) if several else [],
        _importance(explainer),
        _sanity(explainer, main) if plan.thorough else {},
    )


def _importance(explainer: Explainer) -> list[dict[str, Any]]:
    from keras_seq.explain.permutation import permutation_importance

    experiment = explainer.bundle.experiment
    constant = set(explainer.masked.background.constant())
    groups = {name: (name,) for name in explainer.bundle.spec.features if name not in constant}
    if not groups:
        return []
    try:
        rows = permutation_importance(
            explainer.importance_samples,
            groups,
            repeats=3,
            seed=explainer.plan.seed,
            quantiles=experiment.model.quantiles,
            target_cap=experiment.data.target_cap,
        )
    except DataError:  # truth is unknown: nothing to measure the loss on
        return []
    return [asdict(row) for row in rows]


def _sanity(explainer: Explainer, main: Attribution) -> dict[str, float]:
    """Rank correlations with a model of shuffled weights (should be near 0) and with other backgrounds (near 1)."""
    from keras_seq.explain.background import make_background
    from keras_seq.explain.explained_model import ExplainedModel
    from keras_seq.explain.masked_model import MaskedModel
    from keras_seq.explain.registry import run_method

    masked, plan = explainer.masked, explainer.plan
    other = make_background(explainer.prepared, plan.backgrounds, kind=plan.baseline, seed=plan.seed + 1)
    options: dict[str, Any] = {"blocks": plan.blocks, "evaluations": plan.evaluations, "seed": plan.seed + 1}
    own, model = masked.explained, explainer.bundle.model
    again = run_method(main.method, MaskedModel(own, masked.samples, other), model, **options)
    correlations = {"other_backgrounds": _mean_correlation(main, again, plan.blocks)}
    if not own.stepped:
        shuffled = ExplainedModel(randomised(model, plan.seed), own.spec, own.target)
        without = MaskedModel(shuffled, masked.samples, masked.background)
        empty = run_method(main.method, without, shuffled.model, nodes=8, **options)
        correlations["shuffled_weights"] = _mean_correlation(main, empty, plan.blocks)
    return correlations


def _mean_correlation(one: Attribution, other: Attribution, blocks: int) -> float:
    pairs = zip(grouped(one, blocks), grouped(other, blocks), strict=True)
    return float(np.nanmean([spearman(a, b) for a, b in pairs]))
