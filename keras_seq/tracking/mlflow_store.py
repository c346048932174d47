"""Runs on record. The only module that imports mlflow."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from keras_seq import config, files
from keras_seq.config.secret import with_password
from keras_seq.errors import ConfigError, hide_passwords
from keras_seq.tracking import reach
from keras_seq.tracking.tracker import Tracker

OWNER = "keras_seq.process"  # tag: the process that writes a run
KIND = "keras_seq.kind"  # tag: what a run records


class MlflowTracker(Tracker):
    """Records into an MLflow run (SQLite by default)."""

    def __init__(self, mlflow: Any, run_id: str) -> None:
        self._mlflow = mlflow
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record the configuration; MLflow cuts values at 6000 characters."""
        self._mlflow.log_params({key: str(value)[:500] for key, value in params.items()})

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record the finite numbers of ``metrics``."""
        numbers = {key: float(value) for key, value in metrics.items() if isinstance(value, (int, float))}
        self._mlflow.log_metrics({metric_name(key): v for key, v in numbers.items() if v == v}, step=step)

    def log_folder(self, folder: Path, name: str) -> None:
        """Copy a folder into the run's artifacts."""
        self._mlflow.log_artifacts(str(folder), artifact_path=name)

    def log_files(self, paths: Iterable[Path], name: str) -> None:
        """Copy files into the run's artifacts."""
        for path in paths:
            self._mlflow.log_artifact(str(path), artifact_path=name)

    def log_table(self, columns: Mapping[str, Any], name: str) -> None:
        """Record a table that ``mlflow.load_table`` reads back, over many runs at once."""
        self._mlflow.log_table(dict(columns), artifact_file=name)

    def register(self, name: str, folder: Path, *, alias: str, tags: Mapping[str, str]) -> None:
        """Enter a version in the registry of the store that holds the run; the alias moves to it."""
        client, source = self._mlflow.MlflowClient(), folder.absolute().as_uri()
        try:
            if not client.search_registered_models(filter_string=f"name = '{name}'"):
                client.create_registered_model(name)
            version = client.create_model_version(name, source=source, run_id=self.run_id, tags=dict(tags))
            client.set_registered_model_alias(name, alias, version.version)
        except Exception as error:  # any store, any driver
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(
                f"Model '{name}' cannot be entered in the registry of the tracking store: {reason}"
            ) from None

    def log_model(self, model: Any, inputs: Mapping[str, Any], outputs: Any) -> None:
        """Record the Keras model; requirements are given, since inferring them takes most of a minute."""
        from mlflow.models import infer_signature

        from keras_seq.machine import library_versions

        versions = library_versions()
        self._mlflow.keras.log_model(
            model,
            name="model",
            signature=infer_signature(dict(inputs), outputs),
            pip_requirements=[f"{name}=={versions[name]}" for name in ("tensorflow", "keras", "numpy")],
        )


@contextlib.contextmanager
def track(experiment: config.Experiment, *, run_name: str, kind: str = "") -> Iterator[Tracker]:
    """Open a run for ``experiment``; it ends as failed if the block raises.

    Args:
        experiment: names the store.
        run_name: as the store shows it.
        kind: of what is recorded, as ``keras_seq.tracking.queries`` tells runs apart; "": told from what it leaves.

    Raises:
        ConfigError: the store cannot be reached; names the URI and how to go on without.
    """
    settings = experiment.tracking
    if settings.backend == "none":
        yield Tracker()
        return
    uri = with_password(settings.uri)
    mlflow = _import_mlflow()
    try:
        if not uri.startswith("http"):
            _limit_retries()
        with reach.impatient(settings.timeout):
            _begin_store(mlflow, uri)
            reach.reach(uri, lambda: mlflow.MlflowClient(uri).search_experiments(max_results=1), settings.timeout)
            mlflow.set_tracking_uri(uri)
            _choose_experiment(mlflow, settings.experiment or experiment.name, Path(experiment.output))
            _end_killed(mlflow)
            run = mlflow.start_run(run_name=run_name, tags={OWNER: files.owner()} | ({KIND: kind} if kind else {}))
    except Exception as error:  # any store, any driver: all mean "not reachable"
        reason = (str(error).splitlines()[0] if str(error) else type(error).__name__).rstrip(".")
        raise ConfigError(
            f"The tracking store '{settings.uri}' cannot be opened: {reason}. "
            "Give another one with --tracking.uri, or go on without by --tracking.backend none."
        ) from None
    with run:
        yield MlflowTracker(mlflow, run.info.run_id)


class StoreConnection(NamedTuple):
    """A store for records that many processes write over time, where no run is "the" open one.

    Attributes:
        client: an ``MlflowClient``.
        experiment_id: of the MLflow experiment.
        entities: module with ``Metric``, ``Param`` and ``RunTag``.
    """

    client: Any
    experiment_id: str
    entities: Any


def connect(experiment: config.Experiment) -> StoreConnection:
    """Open the store of ``experiment`` without starting a run.

    A store that cannot be reached is given up after seconds, not minutes; whoever asks tries again later. What the
    driver raises is passed on.
    """
    mlflow = _import_impatient()
    settings = experiment.tracking
    uri = with_password(settings.uri)
    name = settings.experiment or experiment.name
    try:
        _begin_store(mlflow, uri)
        client = mlflow.MlflowClient(uri)
        known = client.get_experiment_by_name(name)
        number = known.experiment_id if known else client.create_experiment(name, _artifacts(Path(experiment.output)))
    except Exception as error:  # any store, any driver
        if hide_passwords(str(error)) == str(error):
            raise
        raise ConfigError(f"The tracking store '{settings.uri}' cannot be opened: {error}") from None
    return StoreConnection(client, number, mlflow.entities)


def metric_name(name: str) -> str:
    """A metric's name as mlflow takes it: ``rmse/T [K]``, of a target called so, becomes ``rmse/T _K_``."""
    metric, slash, target = name.partition("/")
    plain = [re.sub(r"[^\w\-. ]", "_", part) for part in (metric, target)]
    return plain[0] + slash + (plain[1] if plain[1].strip(".") else "_" * bool(slash))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"model": {"units": 64}}`` -> ``{"model.units": 64}``."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _import_mlflow() -> Any:
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    import mlflow

    for name in ("mlflow", "alembic", "mlflow.utils.requirements_utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def _import_impatient() -> Any:
    """MLflow, giving up a store that does not answer after seconds."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    mlflow = _import_mlflow()
    _limit_retries()
    return mlflow


def _limit_retries() -> None:
    """Of connections to SQL stores: ten, as it stands, take 100 s."""
    import mlflow.store.db.utils as stores

    stores.MAX_RETRY_COUNT = 2
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its tracebacks say what is raised anyway


def _begin_store(mlflow: Any, uri: str) -> None:
    """Let MLflow make an SQLite file aside: killed half-way through its migrations, it would refuse that file for ever.

    Processes that begin together wait for one of them.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists() or path.name in ("", ":memory:") or "?" in uri:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            with files.new_file(path) as partial:
                mlflow.MlflowClient(f"sqlite:///{partial}").search_experiments(max_results=1)


def _choose_experiment(mlflow: Any, name: str, output: Path) -> None:
    if mlflow.get_experiment_by_name(name) is None:
        mlflow.create_experiment(name, artifact_location=_artifacts(output))
    mlflow.set_experiment(name)


def _end_killed(mlflow: Any) -> None:
    """Runs of the experiment whose process was killed no longer count as running."""
    for run in mlflow.search_runs(filter_string="attributes.status = 'RUNNING'", output_format="list"):
        if files.is_gone(run.data.tags.get(OWNER, "")):
            mlflow.MlflowClient().set_terminated(run.info.run_id, "KILLED")


def _artifacts(output: Path) -> str:
    return (output / "mlflow").absolute().as_uri()


def open_store(uri: str) -> Any:
    """An ``MlflowClient`` of a store that is there, to read from; nothing is made.

    Args:
        uri: of the tracking store, which holds the model registry too.

    Raises:
        ConfigError: there is no such file or server, or it is no store of mlflow's.
    """
    _check_file(uri)
    whole = with_password(uri)
    try:
        mlflow = _import_impatient()
        client = mlflow.MlflowClient(tracking_uri=whole, registry_uri=whole)
        client.search_experiments(max_results=1)
    except Exception as error:  # any store, any driver: all mean "not readable"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"The tracking store '{uri}' cannot be read: {reason} Give the URI that the runs were recorded with, "
            "such as --uri sqlite:///mlflow.db."
        ) from None
    return client


def _check_file(uri: str) -> None:
    """Refuse an SQLite file that is not there or is none, which mlflow would make."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///"):
        return
    if not path.is_file():
        raise ConfigError(
            f"There is no tracking store '{path.absolute()}'; training makes it. Give the one that the runs were "
            "recorded with, such as --uri sqlite:///mlflow.db (tracking.uri of the configuration)."
        )
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\x00":
            raise ConfigError(f"'{path.absolute()}' is no SQLite file, so it cannot be a tracking store.")
