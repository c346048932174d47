"""A model that was just trained on its way to a server: through the same gate and push as every export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_seq.bundle import Bundle
from keras_seq.export.canary import Canary
from keras_seq.export.champion import find_champion
from keras_seq.export.gate import GateVerdict
from keras_seq.export.push import push
from keras_seq.export.samples import PROOF, sample_windows
from keras_seq.export.version import Wanted, export_version
from keras_seq.figures import Say, silent


@dataclass(frozen=True)
class Offered:
    """What became of a version that training offered.

    Attributes:
        version: folder of the export, beside the bundle.
        pushed: folder below the served models; None: the gate refused it.
        verdict: of the gate.
    """

    version: Path
    pushed: Path | None
    verdict: GateVerdict


def offer(
    bundle: Bundle,
    base: Path,
    *,
    number: int | None = None,
    canaries: Mapping[str, Canary] | None = None,
    say: Say = silent,
) -> Offered:
    """Write ``<run>/export/<n>/`` as a SavedModel, judge it by the gate, and push it to ``base`` if it is blessed.

    Args:
        bundle: of the run that ended.
        base: model base path; its highest version is the champion that must not be better.
        number: of the pushed version; None: the next one.
        canaries: that must answer, by name; None: all that this machine can run.
        say: where progress is told.

    Raises:
        OutputError: a folder cannot be written, or the version ``number`` exists.
    """
    version = export_version(
        bundle,
        bundle.folder.parent / "export",
        ("saved_model",),
        windows=sample_windows(bundle, part="test", count=PROOF),
        wanted=Wanted(champion=find_champion(base), canaries=canaries),
        say=say,
    )
    pushed = push(version.folder, base, number=number) if version.verdict.blessed else None
    return Offered(version.folder, pushed, version.verdict)
