"""Retraining job: train on new data, export, judge against the champion, push, wait for the server.

The champion's own version folder is where it starts: its configuration and, for a warm start, its weights. Nothing a
server could load exists before the push, which is one rename; whatever fails before or after, the champion is the
highest version of the base path.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seq import config, files
from keras_seq.config.database import SQL, replaced_by
from keras_seq.data.reading.batches import is_typed
from keras_seq.data.series import Schema
from keras_seq.data.sources.registry import source_info
from keras_seq.errors import ConfigError, ExportError, KerasSeqError, TrainingError
from keras_seq.figures import Say, silent
from serving.retrain import server, state
from serving.retrain.state import JobStore, RetrainState

if TYPE_CHECKING:
    from keras_seq.bundle import Bundle

OWN_FIELDS = ("name", "output", "export.", "training.warm_start", "training.resume")  # set by the job itself
FORMATS = ("saved_model", "onnx", "keras")


@dataclass(frozen=True)
class RetrainRequest:
    """Request of a retraining job.

    Attributes:
        model: name.
        base: model base path that is served; its highest version is the champion.
        work: takes jobs, a folder for each model.
        overrides: dotted fields, such as ``data.path``.
        bundle: where to start if there is no champion.
        warm_start: start from the champion's weights.
        formats, margin, require: of the export; see ``keras_seq.export``.
        server: address of a running server; empty: nobody is asked.
        timeout: seconds it may take to load the version.
        token: for the server.
        event: id of the event that asked for this.
    """

    model: str
    base: Path
    work: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    bundle: Path | None = None
    warm_start: bool = False
    formats: tuple[str, ...] = FORMATS
    margin: float = 0.0
    require: tuple[str, ...] = ()
    server: str = ""
    timeout: float = 300.0
    token: str = field(default="", repr=False)
    event: str = ""

    @property
    def folder(self) -> Path:
        """Of the model's jobs."""
        return self.work / self.model


@dataclass(frozen=True)
class Start:
    """Start of a job: the champion, or a bundle."""

    experiment: config.Experiment
    champion: Path | None
    parent: str
    weights: Path
    schema: Schema | None = None


def run(request: RetrainRequest, say: Say = silent) -> RetrainState:
    """Do a job, or go on with the one that was killed.

    Returns:
        The state at its end, ``done``.

    Raises:
        KerasSeqError: why the champion stays; also in the state, in the events and on record.
    """
    keeper = JobStore(request.folder)
    with keeper.alone(request.model):
        start = find_start(request)
        experiment = plan_experiment(request, start)
        if request.server:
            server.check_reachable(server.check_address(request.server), request.model, request.token)
        now = _resumed_or_new(request, keeper, start, say)
        experiment = config.replace(experiment, output=str(request.folder / now.job / "runs"))
        try:
            now = _steps(request, keeper, now, experiment, start, say)
            now = keeper.write(now, step=state.DONE, finished=time.time())
        except KerasSeqError as error:
            now = keeper.read() or now
            interrupted = isinstance(error, TrainingError) and _interrupted(experiment)
            if not interrupted:
                now = keeper.write(now, step=state.FAILED, finished=time.time(), reasons=(*now.reasons, str(error)))
                _record(request, keeper, now, experiment)
            raise
        return _record(request, keeper, now, experiment)


def find_start(request: RetrainRequest) -> Start:
    """Configuration, lineage and weights of the champion, or of the bundle where nothing is served yet.

    Raises:
        ConfigError: neither is there.
        ExportError: the champion was not written by ``keras_seq.export``.
    """
    from keras_seq.export.champion import find_champion
    from keras_seq.export.record import FOLDER, read_metadata

    champion = find_champion(request.base)
    if champion is not None:
        about = read_metadata(champion)
        experiment = config.from_dict(about["config"])
        weights = champion / FOLDER / "model.keras"
        schema = Schema.model_validate(about["schema"]) if about.get("schema") else None
        return Start(experiment, champion, str(about.get("bundle_sha256", "")), weights, schema)
    if request.bundle is None:
        raise ConfigError(
            f"There is no version below '{request.base}' to start from; give --base with the model's base path, or "
            "--bundle with a trained run."
        )
    from keras_seq.bundle import load_bundle

    bundle = load_bundle(request.bundle)
    digest = files.sha256(bundle.folder / "manifest.json")
    return Start(bundle.experiment, None, digest, bundle.folder / "model.keras", bundle.schema)


def plan_experiment(request: RetrainRequest, start: Start) -> config.Experiment:
    """The champion's configuration with the new data; nothing is written where a server looks.

    Raises:
        ConfigError: an option that cannot be changed here, an unknown one, or a warm start without weights.
    """
    for name in request.overrides:
        if name.startswith(OWN_FIELDS):
            raise ConfigError(f"Option '--{name}' is set by the retraining itself; leave it out.")
    fixed: dict[str, Any] = {"name": request.model, "export.saved_model": False, "training.resume": True}
    if request.warm_start:
        if not start.weights.is_file():
            raise ConfigError(f"Option '--warm-start' needs '{start.weights}'; export with keras among --formats.")
        fixed["training.warm_start"] = str(start.weights)
    elif start.experiment.training.warm_start:
        fixed["training.warm_start"] = None
    own = start.experiment.data
    path = str(request.overrides.get("data.path", own.path))
    read = reading_options(start, None if request.overrides.get("data.source", own.source) == SQL else path)
    gone = replaced_by(request.overrides, start.experiment.data.source)
    tree = config.override(config.to_dict(start.experiment), read | gone | dict(request.overrides) | fixed)
    return config.from_dict(tree)


def reading_options(start: Start, path: str | None) -> dict[str, Any]:
    """How the new table is read: as the champion's was, where the configuration leaves it to the file.

    Args:
        start: the champion.
        path: of the new table; None: rows of a database.

    Returns:
        Dotted fields of the data section; empty where there is no table or its reading is not kept.
    """
    data, schema = start.experiment.data, start.schema
    if not source_info(data.source).is_table or schema is None or schema.reading is None:
        return {}
    reading = schema.reading
    known: dict[str, Any] = {name: getattr(reading, name) for name in ("sheet", "header_row", "dataset")}
    rows = path is None or data.source == SQL
    typed = rows or is_typed(Path(str(path))) or is_typed(Path(str(data.path)))
    if not rows and (reading.shape or not typed):
        file = reading.of_files()
        known |= {name: getattr(file, name) for name in ("encoding", "delimiter", "row_names")}
        known |= {"header": file.header in ("line", "numbers")}
        if file.header == "none":
            known["names"] = file.names
        if not reading.marks:  # else columns differ, and the file tells which
            known |= {"decimal": reading.decimal, "thousands": reading.thousands}
        if reading.date_format is not None:
            known |= {"date_format": reading.date_format, "zone": reading.zone}
    if len(schema.classes) == 2 and not data.schema_file:
        known["positive"] = schema.classes[1]
    return {f"data.{name}": value for name, value in known.items() if getattr(data, name) in (None, ())}


def _resumed_or_new(request: RetrainRequest, keeper: JobStore, start: Start, say: Say) -> RetrainState:
    """The job that was killed, if it was the same; else a new one."""
    asked = [request.overrides, request.warm_start, request.formats, request.margin, request.require]
    text = json.dumps([*asked, str(start.champion), start.parent], default=str, sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    old = keeper.read()
    if old is not None and old.step not in state.OVER and old.request == fingerprint:
        say(f"going on with {old.job} at step '{old.step}'")
        return old
    job = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{os.getpid()}"
    champion = str(start.champion) if start.champion else ""
    new = RetrainState(
        job, fingerprint, champion=champion, parent=start.parent, event=request.event, started=time.time()
    )
    return keeper.write(new)


def _steps(
    request: RetrainRequest, keeper: JobStore, now: RetrainState, experiment: config.Experiment, start: Start, say: Say
) -> RetrainState:
    if now.step == state.TRAIN:
        say("training")
        now = keeper.write(now, step=state.EXPORT, bundle=str(_train(experiment)))
    if now.step == state.EXPORT:
        say("exporting and judging")
        now = keeper.write(now, step=state.PUSH, version=str(_export(request, now, start, say)))
    if now.step == state.PUSH:
        pushed = _pushed_before(request, now) or _push(request, now, start)
        say(f"pushed to {pushed}")
        now = keeper.write(now, step=state.WAIT, pushed=str(pushed))
    if now.step == state.WAIT and request.server:
        say("waiting for the server")
        _wait(request, keeper, now)
    return now


def _train(experiment: config.Experiment) -> Path:
    """Train, or take the bundle that a killed job had finished, if the data are still those it was made of."""
    from keras_seq.bundle import load_bundle
    from keras_seq.pipeline.context import run_folder
    from keras_seq.pipeline.reuse import DataNow
    from keras_seq.pipeline.train import train

    folder = run_folder(experiment)
    if (folder / "bundle" / "manifest.json").is_file() and not _interrupted(experiment):
        bundle = load_bundle(folder)
        if not DataNow().changed(bundle.data, bundle.schema.model_dump_json(), bundle.experiment.data):
            return bundle.folder
    run = train(experiment, quiet=True)
    if _interrupted(experiment):
        raise TrainingError("The training was stopped before its end; the same command goes on where it was.")
    return run.bundle


def _interrupted(experiment: config.Experiment) -> bool:
    """Whether a training was interrupted: finished ones remove their checkpoints."""
    from keras_seq.pipeline.context import run_folder

    return (run_folder(experiment) / "checkpoints").is_dir()


def _export(request: RetrainRequest, now: RetrainState, start: Start, say: Say) -> Path:
    """A sealed, judged version in the job's folder.

    Raises:
        ExportError: the gate did not bless it; says every reason.
    """
    from keras_seq.bundle import load_bundle
    from keras_seq.export.champion import find_champion
    from keras_seq.export.gate import read_verdict
    from keras_seq.pipeline.export import export

    target = request.folder / now.job / "export"
    bundle = load_bundle(now.bundle)
    version = find_champion(target) if target.is_dir() else None
    if version is None:
        base = request.base if start.champion is not None else None
        exported = export(
            bundle, request.formats, output=target, require=request.require, margin=request.margin, base=base, say=say
        )
        version = exported.folder
    _add_reference(bundle, version)
    verdict = read_verdict(version)
    if verdict is None or not verdict["blessed"]:
        reasons = "; ".join(verdict["reasons"]).rstrip(".") if verdict else "it was not judged"
        raise ExportError(f"The new version of '{request.model}' was not blessed, the champion stays: {reasons}.")
    return version


def _add_reference(bundle: Bundle, version: Path) -> None:
    """The reference that drift is measured against, where the export did not write one."""
    from keras_seq.export.record import FOLDER, check_seal, seal
    from keras_seq.export.reference import make_reference, read_reference, write_reference

    if read_reference(version) is None:
        check_seal(version)
        write_reference(make_reference(bundle), version / FOLDER)
        seal(version)


def _push(request: RetrainRequest, now: RetrainState, start: Start) -> Path:
    from keras_seq.export.champion import find_champion
    from keras_seq.export.push import push

    champion = find_champion(request.base)
    if champion != start.champion:
        raise ExportError(
            f"Another version, '{champion}', was pushed since the new one was judged against "
            f"'{start.champion or 'no champion'}'; retrain again to be judged against it."
        )
    return push(now.version, request.base)


def _pushed_before(request: RetrainRequest, now: RetrainState) -> Path | None:
    """The version that a job had pushed before it was killed: it holds the same bundle."""
    from keras_seq.export.champion import find_champion
    from keras_seq.export.record import read_metadata

    highest = find_champion(request.base)
    own = read_metadata(Path(now.version)).get("bundle_sha256")
    if highest is None or str(highest) == now.champion:
        return None
    try:
        return highest if read_metadata(highest).get("bundle_sha256") == own else None
    except ExportError:
        return None


def _wait(request: RetrainRequest, keeper: JobStore, now: RetrainState) -> None:
    """Wait for the server; a version that it does not take is withdrawn, so that no server loads it later."""
    pushed = Path(now.pushed)
    try:
        server.wait_available(
            server.check_address(request.server),
            request.model,
            int(pushed.name),
            timeout=request.timeout,
            token=request.token,
        )
    except KerasSeqError:
        withdrawn = pushed.with_name(f".withdrawn-{pushed.name}-{now.job}")
        if pushed.is_dir():
            os.rename(pushed, withdrawn)
        keeper.write(now, pushed="", reasons=(*now.reasons, f"withdrawn to {withdrawn}"))
        raise


def _record(
    request: RetrainRequest, keeper: JobStore, now: RetrainState, experiment: config.Experiment
) -> RetrainState:
    """Lineage in the events beside the jobs and in the tracking store; a store that is away undoes nothing."""
    from keras_seq import tracking
    from serving.monitor.events import EventLog

    facts = {key: value for key, value in now.to_dict().items() if key not in ("request", "record", "step", "event")}
    facts["alarm"] = now.event
    event = "retrained" if now.step == state.DONE else "retrain_failed"
    try:
        with tracking.track(experiment, run_name=f"retrain-{now.job}", kind="retraining") as tracker:
            reasons = " | ".join(now.reasons) or "none"
            shas = {"parent_bundle_sha256": now.parent or "none", "bundle_sha256": _sha(now.bundle)}
            tracker.log_params(
                {"event": event, "model": request.model, "drift_event": now.event or "none", "reasons": reasons}
                | {"champion": now.champion or "none", "version": now.version or "none", "pushed": now.pushed or "none"}
                | shas
            )
            seconds = max(now.finished - now.started, 0.0)  # of the clock, which may have been put back
            tracker.log_metrics({"retrained": float(event == "retrained"), "seconds": seconds})
            now = keeper.write(now, record=tracker.run_id or "")
            if now.pushed:
                tags = {"blessed": "True", "drift_event": now.event or "none"}
                tracker.register(request.model, Path(now.pushed), alias="champion", tags=tags)
    except KerasSeqError as error:
        facts["warning"] = str(error)
    EventLog(request.folder).write(event, model=request.model, **facts)
    return now


def _sha(bundle: str) -> str:
    path = Path(bundle) / "manifest.json"
    return files.sha256(path) if bundle and path.is_file() else "none"
