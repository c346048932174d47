"""From a bundle to explanations: open it, attribute, score the attributions, write the folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_seq import config, files
from keras_seq.bundle import Bundle, load_bundle
from keras_seq.errors import ConfigError
from keras_seq.explain import layout
from keras_seq.explain.explainer import Explainer, ExplanationPlan
from keras_seq.explain.progress import SILENT, Ticker
from keras_seq.explain.registry import check_names, choose_methods
from keras_seq.figures import Say, silent


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
    from keras_seq.explain.output_target import make_target

    bundle = load_bundle(path)
    unit = _target_unit(bundle, plan)
    target = make_target(
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

    explained = ExplainedModel(bundle.model, bundle.spec, target)
    methods = choose_methods(plan.methods, explained, bundle.model)
    from keras_seq.data.prepare import prepare
    from keras_seq.explain.background import make_background
    from keras_seq.explain.masked_model import MaskedModel
    from keras_seq.explain.samples import choose
    from keras_seq.explain.views import WORD

    experiment = config.from_dict(config.override(config.to_dict(bundle.experiment), overrides or {}))
    prepared = prepare(experiment.data)
    bundle.check_data(prepared)
    samples = choose(prepared, plan.part, plan.samples, units=plan.units)
    background = make_background(prepared, plan.backgrounds, kind=plan.baseline, seed=plan.seed)
    columns = {column.name: column.unit for column in bundle.schema.columns}
    columns |= dict.fromkeys(bundle.schema.vocabularies, WORD)
    units = tuple(columns.get(name, "") for name in bundle.spec.features)
    masked = MaskedModel(explained, samples, background, schema_units=units, ticker=ticker)
    return Explainer(bundle, prepared, plan, masked, methods, ticker)


def explain(
    path: str | Path,
    plan: ExplanationPlan | None = None,
    *,
    output: str | Path | None = None,
    overrides: dict[str, Any] | None = None,
    say: Say = silent,
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
    explainer = open_bundle(path, plan, overrides=overrides, ticker=ticker)
    folder = Path(output) if output else layout.default_folder(explainer.bundle.folder)
    files.ensure_writable(folder.parent)
    what = explainer.masked.explained.target.name
    say(f"explaining {what} of {len(explainer.masked.samples)} samples: {', '.join(explainer.methods)}")
    attributions = {}
    for method in explainer.methods:
        attributions[method] = explainer.attribute(method)
        worst = attributions[method].additivity_error().max()
        adds = f", adds up within {worst:.2%}" if attributions[method].additive else ""
        say(f"  {method}: {attributions[method].details['seconds']:.1f} s{adds}")
    scores = score_explanations(explainer, attributions)
    with files.new_folder(folder, replace=True) as partial:
        write_folder(partial, explainer, attributions, scores, seconds=time.perf_counter() - began)
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
