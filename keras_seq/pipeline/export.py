"""Write a bundle as a version for servers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq.figures import Say, silent

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle
    from keras_seq.export.version import Exported


def export(
    bundle: Bundle,
    formats: Sequence[str],
    *,
    output: str | Path | None = None,
    version: int | None = None,
    require: Sequence[str] = (),
    margin: float = 0.0,
    base: str | Path | None = None,
    explain: int = 0,
    say: Say = silent,
) -> Exported:
    """Export a bundle with real windows of its own data; see ``keras_seq.export.version.export_version``.

    Args:
        bundle: loaded bundle.
        formats: names.
        output: takes the version folder; None: ``export`` beside the bundle.
        version: number of the version; None: the next one.
        require: bounds on metrics, such as ``rmse<=12``.
        margin: by which the champion or the baseline must be beaten, a share of its metric.
        base: model base path whose highest version is the champion.
        explain: training windows that a signature ``explain`` compares with; 0: none.
        say: where progress is told.

    Raises:
        KerasSeqError: an option, the data or the folder; before long work starts.
    """
    from keras_seq import files
    from keras_seq.export.champion import find_champion
    from keras_seq.export.formats import check_kinds, need_samples
    from keras_seq.export.gate import parse_requirements
    from keras_seq.export.samples import PROOF, sample_windows
    from keras_seq.export.saved_model import check_version
    from keras_seq.export.version import Wanted, export_version

    formats, target = check_kinds(formats), Path(output or bundle.folder.parent / "export")
    requirements = parse_requirements(require, bundle)
    check_version(target, version, option="--version")
    for folder in (target, *([base] if base else [])):
        files.ensure_writable(folder)
    champion = find_champion(Path(base)) if base else None
    say("reading real windows")
    windows = sample_windows(bundle, part="test", count=PROOF)
    samples = sample_windows(bundle, part="train") if need_samples(formats) else None
    wanted = Wanted(requirements, margin, champion)
    why = _explanation(bundle, explain) if explain else None
    return export_version(
        bundle, target, formats, windows=windows, samples=samples, wanted=wanted, version=version, explain=why, say=say
    )


def _explanation(bundle: Bundle, count: int) -> Any:
    """Integrated gradients inside the graph, from ``count`` training windows.

    Raises:
        ModelError: the model's answer moves in steps.
    """
    from keras_seq.explain.background import from_windows
    from keras_seq.explain.output_target import make_target
    from keras_seq.explain.served import make_explain
    from keras_seq.export.samples import sample_windows

    windows = sample_windows(bundle, part="train", count=count)
    lengths = windows.get("lengths", [bundle.spec.time] * len(windows["values"]))
    background = from_windows(windows["values"], lengths, bundle.spec, count=count)
    target = make_target(
        bundle.spec, quantiles=bundle.experiment.model.quantiles, target_unit=bundle.schema.target_unit
    )
    return make_explain(bundle.model, target, background)
