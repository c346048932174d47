"""What to explain and how, and a bundle opened for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from keras_seq.explain.attribution import Attribution
from keras_seq.explain.progress import SILENT, Ticker
from keras_seq.explain.registry import run_method

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared
    from keras_seq.explain.masked_model import MaskedModel

IMPORTANCE_SAMPLES = 100  # samples of the part that permutation importance is measured on


@dataclass(frozen=True)
class ExplanationPlan:
    """What to explain and how.

    Attributes:
        samples: how many, spread evenly over the part.
        methods: names, ``auto`` for those that fit.
        backgrounds: training windows laid beside every sample.
        baseline: ``windows`` or ``mean``.
        part: train, validation or test.
        units: names of units instead of ``samples``.
        class_name: class explained; None: the positive, or each sample's own called one.
        target: target explained; None: the first.
        ahead: step of a forecast; None: the mean over the horizon.
        level: quantile; None: the middle one.
        scale: ``output`` or ``logit``.
        blocks: of time, in methods that group.
        evaluations: sets of groups a sample, in methods that count.
        seed: of all choices.
        local: samples with pictures of their own, those farthest from their base.
        thorough: also randomised weights and other backgrounds.
    """

    samples: int = 20
    methods: tuple[str, ...] = ("auto",)
    backgrounds: int = 50
    baseline: str = "windows"
    part: str = "test"
    units: tuple[str, ...] = ()
    class_name: str | None = None
    target: str | None = None
    ahead: int | None = None
    level: float | None = None
    scale: Any = "output"
    blocks: int = 5
    evaluations: int = 500
    seed: int = 0
    local: int = 3
    thorough: bool = False


@dataclass
class Explainer:
    """A bundle opened for explanation.

    Attributes:
        bundle: the bundle.
        prepared: its data.
        plan: what to explain.
        masked: samples, backgrounds and the model explained.
        methods: those that will run.
        ticker: told of progress.
    """

    bundle: Bundle
    prepared: Prepared
    plan: ExplanationPlan
    masked: MaskedModel
    methods: tuple[str, ...]
    ticker: Ticker = field(default=SILENT, repr=False)

    def attribute(self, method: str, **options: Any) -> Attribution:
        """Attributions of one method for the samples."""
        defaults = {"blocks": self.plan.blocks, "evaluations": self.plan.evaluations, "seed": self.plan.seed}
        return run_method(method, self.masked, self.bundle.model, **(defaults | options))

    @cached_property
    def importance_samples(self) -> MaskedModel:
        """More samples of the part, with their truth, for permutation importance."""
        from keras_seq.explain.masked_model import MaskedModel
        from keras_seq.explain.samples import choose

        samples = choose(self.prepared, self.plan.part, IMPORTANCE_SAMPLES)
        return MaskedModel(self.masked.explained, samples, self.masked.background, ticker=self.ticker)
