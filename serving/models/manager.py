"""Model manager of a server: models are watched, loaded, answered from, unloaded, as TensorFlow Serving does it.

A thread of its own looks at the base paths and lets ``versions`` do what ``lifecycle`` finds due.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from keras_seq.errors import ConfigError
from serving.contract.status import Code, Refused, invalid
from serving.contract.version_state import VersionState
from serving.models import labels
from serving.models.config import ServerConfig, folder_config, parse_config, read_config
from serving.models.lifecycle import AVAILABLE, END, Model
from serving.models.policy import find_versions
from serving.models.prototext import read_text
from serving.models.servable import Lease, Servable
from serving.models.settings import ManagerSettings
from serving.models.versions import Listener, Loader, Versions

log = logging.getLogger(__name__)

RELOAD_SECONDS = 600.0  # for the new models of a reload to answer


class ModelManager:
    """Watches base paths and keeps the versions loaded that their policies ask for.

    ::

        with ModelManager(config_file=Path("models.config")) as models:   # starts; does not wait
            problems = models.wait_until_loaded(timeout=60)
            with models.acquire("engine") as servable:
                servable.run("serving_default", {"values": values})

    Args:
        config: models; or ``config_file``, or ``folder``: exactly one of the three.
        config_file: text of ``ModelServerConfig``, read again every ``model_config_file_poll_wait_seconds``.
        folder: every sub-folder that holds version folders is a model (``--models``); new ones are found while polling.
        settings: see ``ManagerSettings``.
        loader: makes a version's ``Servable`` of ``(name, version, folder, settings)``; None: ``loading.load_version``.

    Raises:
        ConfigError: the models cannot be used: names the file or folder, the line or model, and what is wrong.
    """

    def __init__(
        self,
        config: ServerConfig | None = None,
        *,
        config_file: Path | None = None,
        folder: Path | None = None,
        settings: ManagerSettings | None = None,
        loader: Loader | None = None,
    ) -> None:
        if sum(source is not None for source in (config, config_file, folder)) != 1:
            raise ConfigError("A ModelManager takes exactly one of config, config_file and folder.")
        self.settings = settings or ManagerSettings()
        self._file, self._folder = config_file, folder
        self._wake, self._stop = threading.Event(), threading.Event()
        self._versions = Versions(self.settings, loader or _default_loader, self._wake.set)
        self._labels = labels.Labels()
        self._config, self._text = ServerConfig(), ""
        self._poll_now = True
        self._thread: threading.Thread | None = None
        self._first(config)

    # -- for servers ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to watch and load, in threads of its own; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="watch-models", daemon=True)
            self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Stop watching, unload everything that no lease holds within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)
        self._versions.close(deadline)

    def __enter__(self) -> ModelManager:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def wait_until_loaded(self, timeout: float | None = None) -> list[str]:
        """Wait until every model has a version that answers, or one that failed for good.

        Args:
            timeout: seconds; None: as long as it takes.

        Returns:
            What is wrong, one line a model that has no version that answers; empty: all is well.
        """
        self._wait_for(None, timeout)
        with self._versions.lock:
            return [line for name in self._config.by_name() for line in self._problems(name)]

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener(model name, state)`` at every change of state.

        It is called from the manager's threads, one call at a time, and must return soon.
        """
        self._versions.subscribe(listener)

    # -- for calls -----------------------------------------------------------------------------------------------

    def acquire(self, name: str, version: int | None = None, label: str | None = None) -> Lease:
        """See ``Models.acquire``: takes no lock. For ``with``, or call its ``__exit__`` once when done."""
        if label is not None:
            version = self._labels.version(name, label)
        return self._versions.acquire(name, version)

    def states(self, name: str, version: int | None = None, label: str | None = None) -> Sequence[VersionState]:
        """See ``Models.states``."""
        if label is not None:
            version = self._labels.version(name, label)
        return self._versions.status(name, version)

    def names(self) -> Sequence[str]:
        """See ``Models.names``."""
        return [model.name for model in self._config.models]

    def reload(self, text: str) -> None:
        """See ``Models.reload``: blocks until the new models have a version that answers, so call it in a thread."""
        new = self._apply(parse_config(text))
        if not self._wait_for(new, RELOAD_SECONDS):
            raise Refused(Code.DEADLINE_EXCEEDED, f"Models did not become available within {RELOAD_SECONDS:.0f} s")
        with self._versions.lock:
            failed = [line for name in sorted(new) for line in self._problems(name)]
        if failed:
            raise Refused(
                Code.UNKNOWN,
                f"{len(failed)} model(s) did not become available: {{{''.join(f'{line}, ' for line in failed)}}}",
            )

    # -- configuration -------------------------------------------------------------------------------------------

    def _first(self, config: ServerConfig | None) -> None:
        """Take the models of the start; what is wrong with them is a ``ConfigError``."""
        if self._file is not None:
            self._text = read_text(self._file, "--model_config_file")
            config = read_config(self._file)
        elif self._folder is not None:
            try:
                config = folder_config(self._folder)
            except OSError as error:
                raise ConfigError(
                    f"The folder '{self._folder}' of --models cannot be read ({error.strerror or error}); name one "
                    "that holds a folder for each model, with version folders in it."
                ) from None
        assert config is not None
        try:
            self._apply(config, first=True)
        except Refused as error:
            where = f"The file '{self._file}' of --model_config_file" if self._file else "The models"
            advice = " Set allow_version_labels_for_unavailable_models." if "assign label" in error.message else ""
            raise ConfigError(f"{where} cannot be used: {error.message}.{advice}") from None

    def _apply(self, config: ServerConfig, *, first: bool = False) -> set[str]:
        """Take a configuration; the names of its new models.

        Raises:
            Refused: a label names a version that does not answer, or a new base path is not there; nothing changes.
        """
        with self._versions.lock:
            new = set(config.by_name()) - set(self._config.by_name())
            checked = labels.check(config, self._labels, self._versions.states, self.settings)
            if not first:
                for name in sorted(new):
                    base = config.by_name()[name].base_path
                    if not base.is_dir():
                        raise invalid(f"Could not find base path {base} for servable {name}")
            for name, model in self._versions.models.items():
                if name not in config.by_name():
                    model.aspired = {}
            for name in new:
                added = self._versions.models.setdefault(name, Model())
                added.looked = False
            self._config, self._labels = config, checked
            self._poll_now = True
        self._wake.set()
        return new

    def _reread(self) -> None:
        """Look at the config file again; a bad one is told of and the old one stays."""
        assert self._file is not None
        try:
            text = read_text(self._file, "--model_config_file")
            if text != self._text:
                self._apply(parse_config(text))
                self._text = text
                log.info("Took the changed config file '%s'.", self._file)
        except (Refused, ConfigError) as error:
            log.error("The config file '%s' is not taken: %s", self._file, error)

    # -- watching ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Run the manager's thread: poll, load, unload."""
        next_poll, next_read = 0.0, time.monotonic() + self.settings.model_config_file_poll_wait_seconds
        while not self._stop.is_set():
            self._wake.clear()
            try:
                next_poll, next_read, wait = self._round(next_poll, next_read)
            except Exception:  # a fault of ours must not end the watching
                log.exception("Watching the models failed; it goes on.")
                wait = 1.0
            self._wake.wait(wait)

    def _round(self, next_poll: float, next_read: float) -> tuple[float, float, float | None]:
        """Do what is due; when the next looks are due, and how long to wait."""
        every, reread = self.settings.file_system_poll_wait_seconds, self.settings.model_config_file_poll_wait_seconds
        now, waits = time.monotonic(), list[float]()
        reads = self._file is not None and reread > 0
        if reads and now >= next_read:
            self._reread()
            next_read = now + reread
        if (every > 0 and now >= next_poll) or (every >= 0 and self._poll_now):
            self._poll()
            next_poll = now + every
        wait = self._versions.step()
        if wait is not None:
            waits.append(wait)
        if every > 0:
            waits.append(max(next_poll - time.monotonic(), 0.0))
        if reads:
            waits.append(max(next_read - time.monotonic(), 0.0))
        return next_poll, next_read, min(waits, default=None)

    def _poll(self) -> None:
        """Look at all base paths."""
        self._poll_now = False
        if self._folder is not None:
            self._look_for_models(self._folder)
        for config in self._config.models:
            try:
                folders, problem = find_versions(config.base_path), ""
            except OSError as error:
                folders, problem = {}, f"Could not find base path {config.base_path} for servable {config.name}"
                log.log(self._loudness(config.name, problem), "%s (%s)", problem, error.strerror or error)
            aspired = config.policy.choose(folders, config.name)
            with self._versions.lock:
                model = self._versions.models.get(config.name)
                if model is None or config not in self._config.models:
                    continue  # another configuration came meanwhile
                model.looked, was, model.problem = True, model.problem, problem
                if problem:
                    continue  # perhaps gone for a moment: what answers goes on to answer
                if not aspired and self.settings.servable_versions_always_present and model.versions:
                    log.error("Refusing to unload all versions for Servable: %s", config.name)
                    continue
                if not aspired:
                    model.problem = f"No versions of servable {config.name} found under base path {config.base_path}"
                    log.log(self._loudness(config.name, model.problem, was), "%s", model.problem)
                model.aspired = aspired
                if self.settings.enable_reload_servables_with_error:
                    self._drop_failed(model)
        with self._versions.changed:
            self._versions.changed.notify_all()

    def _loudness(self, name: str, problem: str, was: str | None = None) -> int:
        """Logging level of a problem: a warning once, then debug."""
        model = self._versions.models.get(name)
        before = was if was is not None else (model.problem if model else "")
        return logging.DEBUG if before == problem else logging.WARNING

    def _look_for_models(self, folder: Path) -> None:
        try:
            config = folder_config(folder)
        except OSError as error:
            log.error("The folder '%s' of --models cannot be read (%s).", folder, error.strerror or error)
            return
        here = self._config.by_name()
        stay = tuple(model for name, model in here.items() if name not in config.by_name() and model.base_path.is_dir())
        merged = tuple(sorted((*config.models, *stay), key=lambda model: model.name))
        if merged != self._config.models:
            self._apply(ServerConfig(merged), first=True)
            self._poll_now = False

    def _drop_failed(self, model: Model) -> None:
        for version in list(model.versions.values()):
            if version.state == END and not version.busy:
                del model.versions[version.number]

    # -- waiting -------------------------------------------------------------------------------------------------

    def _wait_for(self, names: set[str] | None, timeout: float | None) -> bool:
        """Wait until the models are settled; all, if ``names`` is None. Whether they are."""

        def settled() -> bool:
            asked = self._config.by_name() if names is None else names & set(self._config.by_name())
            known = all(name in self._versions.models for name in asked)
            return known and not self._poll_now and all(self._versions.models[name].settled() for name in asked)

        with self._versions.changed:
            return self._versions.changed.wait_for(settled, timeout)

    def _problems(self, name: str) -> list[str]:
        """Why a model does not answer; empty if it does."""
        if name in self._versions.table:
            return []
        states = sorted(self._versions.states.get(name, {}).items(), reverse=True)
        wrong = [_line(name, state) for _, state in states if state.state != AVAILABLE]
        problem = self._versions.models[name].problem if name in self._versions.models else ""
        return wrong[:1] or [f"{{name: {name} {problem or 'is not loaded yet'}}}"]


def _line(name: str, state: VersionState) -> str:
    """As ``ServerCore::WaitUntilModelsAvailable`` puts it."""
    error = f" due to error: {state.error_code}: {state.error_message}" if state.error_code != "OK" else ""
    return f"{{{{name: {name} version: {state.version}}}{error}}}"


def _default_loader(name: str, version: int, folder: Path, settings: ManagerSettings) -> Servable:
    from serving.models.loading import load_version

    return load_version(name, version, folder, settings)
