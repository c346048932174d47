"""From a bundle to explanations: open it, ask it, judge the answers, write the folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config, files
from keras_seq.errors import ConfigError
from keras_seq.explain import layout
from keras_seq.explain.attribution import Attribution
from keras_seq.explain.methods import check_names, choose_methods, run_method
from keras_seq.explain.progress import SILENT, Ticker

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.data.prepare import Prepared
    from keras_seq.explain.masked_model import MaskedModel

Say = Callable[[str], None]
JUDGED = 100  # samples of the part that permutation importance is measured on


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
        game: samples, backgrounds and the model asked.
        methods: those that will run.
        ticker: told of progress.
    """

    bundle: Bundle
    prepared: Prepared
    plan: ExplanationPlan
    game: MaskedModel
    methods: tuple[str, ...]
    ticker: Ticker = field(default=SILENT, repr=False)

    def attribute(self, method: str, **options: Any) -> Attribution:
        """Attributions of one method for the samples."""
        given = {"blocks": self.plan.blocks, "evaluations": self.plan.evaluations, "seed": self.plan.seed}
        return run_method(method, self.game, self.bundle.model, **(given | options))

    @cached_property
    def judged(self) -> Any:
        """More samples of the part, with their truth, for permutation importance."""
        from keras_seq.explain.masked_model import MaskedModel
        from keras_seq.explain.samples import choose

        samples = choose(self.prepared, self.plan.part, JUDGED)
        return MaskedModel(self.game.asked, samples, self.game.background, ticker=self.ticker)


def open_bundle(
    path: str | Path,
    plan: ExplanationPlan | None = None,
    *,
    overrides: dict[str, Any] | None = None,
    ticker: Ticker = SILENT,
) -> Explainer:
    """Load a bundle, its data and backgrounds; everything that can be refused is refused here.

    Args:
        path: bundle or run folder.
        plan: what to explain.
        overrides: ``data.*`` options that stand in for the bundle's, such as ``data.home``.
        ticker: told of progress.

    Raises:
        ModelError: not a bundle, or a method that does not fit its model.
        ConfigError: an unknown method, class, target or part.
        DataError: the data are missing or others, units unknown, too few background windows.
    """
    plan = plan or ExplanationPlan()
    check_names(plan.methods)
    if plan.part not in ("train", "validation", "test"):
        raise ConfigError(f"Option '--part' is '{plan.part}'; it can be train, validation, test.")
    from keras_seq.bundle import load_bundle
    from keras_seq.explain.output_target import make_question

    bundle = load_bundle(path)
    unit = _target_unit(bundle, plan)
    question = make_question(
        bundle.spec,
        quantiles=bundle.experiment.model.quantiles,
        target_unit=unit,
        class_name=plan.class_name,
        target=plan.target,
        ahead=plan.ahead,
        level=plan.level,
        scale=plan.scale,
    )
    from keras_seq.explain.explained_model import ExplainedModel

    asked = ExplainedModel(bundle.model, bundle.spec, question)
    methods = choose_methods(plan.methods, asked, bundle.model)
    from keras_seq.data.prepare import prepare
    from keras_seq.explain.background import make_background
    from keras_seq.explain.masked_model import MaskedModel
    from keras_seq.explain.samples import choose

    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), overrides or {}))
    prepared = prepare(experiment.data)
    bundle.check_data(prepared)
    samples = choose(prepared, plan.part, plan.samples, units=plan.units)
    background = make_background(prepared, plan.backgrounds, kind=plan.baseline, seed=plan.seed)
    columns = {column.name: column.unit for column in bundle.schema.columns}
    units = tuple(columns.get(name, "") for name in bundle.spec.features)
    game = MaskedModel(asked, samples, background, schema_units=units, ticker=ticker)
    return Explainer(bundle, prepared, plan, game, methods, ticker)


def explain(
    path: str | Path,
    plan: ExplanationPlan | None = None,
    *,
    output: str | Path | None = None,
    overrides: dict[str, Any] | None = None,
    say: Say = lambda text: None,
    ticker: Ticker = SILENT,
) -> layout.Explanations:
    """Explain samples of a bundle by every method of the plan and write the folder of ``layout``.

    Args:
        path: bundle or run folder.
        plan: what to explain.
        output: folder; None: ``explanations`` in the run.
        overrides: see ``open_bundle``.
        say: tells the user where it is.
        ticker: told of progress.

    Returns:
        The folder, read.
    """
    from keras_seq.explain.scores import score_explanations
    from keras_seq.explain.write import write_folder

    began = time.perf_counter()
    opened = open_bundle(path, plan, overrides=overrides, ticker=ticker)
    folder = Path(output) if output else layout.default_folder(opened.bundle.folder)
    files.ensure_writable(folder.parent)
    what = opened.game.asked.question.name
    say(f"explaining {what} of {len(opened.game.samples)} samples: {', '.join(opened.methods)}")
    found = {}
    for method in opened.methods:
        found[method] = opened.attribute(method)
        worst = found[method].additivity_error().max()
        adds = f", adds up within {worst:.2%}" if found[method].additive else ""
        say(f"  {method}: {found[method].details['seconds']:.1f} s{adds}")
    judged = score_explanations(opened, found)
    with files.new_folder(folder, replace=True) as partial:
        write_folder(partial, opened, found, judged, seconds=time.perf_counter() - began)
    return layout.read(folder)


def _target_unit(bundle: Bundle, plan: ExplanationPlan) -> str:
    """Physical unit of the target explained: the schema's, or that of the column it is."""
    columns = {column.name: column.unit for column in bundle.schema.columns}
    name = plan.target or (bundle.spec.targets[0] if bundle.spec.targets else "")
    return bundle.schema.target_unit or columns.get(name, "")


def as_methods(text: str | Sequence[str]) -> tuple[str, ...]:
    """Names from ``"kernel,lime"`` or a list."""
    words = text.split(",") if isinstance(text, str) else [word for part in text for word in part.split(",")]
    return tuple(word.strip().replace("-", "_") for word in words if word.strip())
