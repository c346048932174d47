"""A version answers real windows before anyone is served by it.

A canary is ``canary(version_folder, windows) -> {signature: answers}``: it loads the version as a server would and
gives its answers to ``windows`` (``values`` [and ``lengths``], as ``keras_seq.export.samples``), at least of
``serving_default``. ``load_and_answer`` uses TensorFlow in a process of its own; ``ask_server`` starts a server, the
embedded one (``python -m serving``) and, where it is on PATH, the real ``tensorflow_model_server``.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_seq import files
from keras_seq.errors import ExportError
from keras_seq.export.isolated import run_apart
from keras_seq.machine import free_ports

Arrays = dict[str, np.ndarray]
Canary = Callable[[Path, Mapping[str, np.ndarray]], Mapping[str, Arrays]]
BINARY = "tensorflow_model_server"
START = 180.0  # seconds the server may take to load a version


def canaries() -> dict[str, Canary]:
    """The canaries that this machine can run, by name."""
    canaries_by_name: dict[str, Canary] = {"a fresh process": load_and_answer}
    if importlib.util.find_spec("serving"):  # started, never imported: it builds on this package
        embedded = (sys.executable, "-m", "serving", "--backend=embedded")
        canaries_by_name["the embedded server"] = functools.partial(ask_server, command=embedded)
    if shutil.which(BINARY):
        canaries_by_name[BINARY] = functools.partial(ask_server, command=(BINARY,))
    return canaries_by_name


def load_and_answer(folder: Path, windows: Mapping[str, np.ndarray], *, only: Sequence[str] = ()) -> dict[str, Arrays]:
    """Answers of every signature, or of those named, from ``tf.saved_model`` in a process of its own.

    Raises:
        ExportError: the version cannot be loaded or answered, or was changed since it was sealed; names the signal
            if TensorFlow crashed.
    """
    from keras_seq.export.record import MANIFEST, check_seal

    if (folder / MANIFEST).is_file():
        check_seal(folder)
    return load(folder, windows, only=only)


def load(folder: Path, windows: Mapping[str, np.ndarray], *, only: Sequence[str] = ()) -> dict[str, Arrays]:
    """Answers as ``load_and_answer`` gives them, of a version whose seal is not checked.

    Raises:
        ExportError: as ``load_and_answer``.
    """
    with files.scratch() as scratch:
        inputs, out = Path(scratch) / "windows.npz", Path(scratch) / "answers.npz"
        np.savez(inputs, **dict(windows))  # type: ignore[arg-type]
        arguments = {"folder": str(folder), "windows": str(inputs), "out": str(out), "only": list(only)}
        names = run_apart(f"{__name__}:answer", arguments, what="Loading the version", warm=True)
        with np.load(out) as stored:
            return {name: {key: stored[f"{name}/{key}"] for key in keys} for name, keys in names.items()}


def answer(folder: str, windows: str, out: str, only: Sequence[str] = ()) -> dict[str, list[str]]:
    """Child-process side of ``load``: writes ``SIGNATURE/ANSWER`` arrays; names of the answers by signature."""
    with np.load(windows) as stored:
        answers = answers_of(folder, dict(stored), only=only)
    np.savez(out, **{f"{name}/{key}": value for name, part in answers.items() for key, value in part.items()})  # type: ignore[arg-type]
    return {name: sorted(part) for name, part in answers.items()}


def answers_of(folder: str | Path, windows: Mapping[str, np.ndarray], *, only: Sequence[str] = ()) -> dict[str, Arrays]:
    """Load a version and ask each of its signatures, or those named, about the same windows.

    Examples are made from the windows; ``step`` walks through each and its last answer counts.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    answers = {}
    for name, signature in loaded.signatures.items():
        if only and name not in only:
            continue
        ask = {"serving_examples": _ask_examples, "classify": _ask_examples, "regress": _ask_examples, "step": _walk}
        ask["serving_words"] = _ask_words
        answers[name] = ask.get(name, _ask)(signature, windows, Path(folder))
    return answers


def _ask(signature: Any, windows: Mapping[str, np.ndarray], folder: Path) -> Arrays:
    import tensorflow as tf

    answers = signature(**{name: tf.constant(value) for name, value in windows.items()})
    return {name: value.numpy() for name, value in answers.items()}


def _ask_words(signature: Any, windows: Mapping[str, np.ndarray], folder: Path) -> Arrays:
    """The words of the windows as texts, in place of their codes."""
    from keras_seq.export.record import read_metadata
    from keras_seq.export.word_codes import texts_of

    columns = enumerate(read_metadata(folder)["features"])
    vocabularies = {place: column["words"] for place, column in columns if "words" in column}
    values = windows["values"].copy()
    texts = texts_of(values, vocabularies)
    values[..., list(vocabularies)] = 0.0
    return _ask(signature, {**windows, "values": values, "words": texts}, folder)


def _ask_examples(signature: Any, windows: Mapping[str, np.ndarray], folder: Path) -> Arrays:
    import tensorflow as tf

    from keras_seq.export import examples

    features = _features(folder)
    argument = next(iter(signature.structured_input_signature[1]))
    sequences = argument == "examples" and "lengths" in windows
    encode = examples.encode_sequence if sequences else examples.encode_example
    answers = signature(**{argument: tf.constant([encode(row, features) for row in _rows(windows)])})
    arrays = {name: value.numpy() for name, value in answers.items()}
    return {name: value.astype(np.bytes_) if value.dtype == object else value for name, value in arrays.items()}


def _walk(signature: Any, windows: Mapping[str, np.ndarray], folder: Path) -> Arrays:
    """The step signature over all windows side by side; each one's answer at its last real step."""
    import tensorflow as tf

    count, known = len(windows["values"]), signature.structured_input_signature[1]
    state = {name: tf.zeros((count, *spec.shape[1:])) for name, spec in known.items() if name != "values"}

    def step(rows: np.ndarray) -> Arrays:
        answers = signature(values=tf.constant(rows), **state)
        state.update({name: answers.pop(name) for name in state})
        return {name: value.numpy() for name, value in answers.items()}

    return last_answers(windows, step)


def last_answers(windows: Mapping[str, np.ndarray], step: Callable[[np.ndarray], Arrays]) -> Arrays:
    """Call ``step`` with the rows ``(n, features)`` of each time; each window's answers at its last real step."""
    values = windows["values"]
    lengths = windows.get("lengths", np.full(len(values), values.shape[1]))
    last: Arrays = {}
    for time_step in range(int(lengths.max())):
        for name, now in step(np.ascontiguousarray(values[:, time_step])).items():
            ends = (lengths == time_step + 1).reshape(-1, *[1] * (now.ndim - 1))
            last[name] = np.where(ends, now, last.get(name, now))
    return last


def _rows(windows: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The real steps of each window, ``(steps, features)``."""
    values = windows["values"]
    lengths = windows.get("lengths", [values.shape[1]] * len(values))
    return [row[:steps] for row, steps in zip(values, lengths, strict=True)]


def _features(folder: Path) -> list[str]:
    from keras_seq.export.record import read_metadata

    return [column["name"] for column in read_metadata(folder)["features"]]


def ask_server(folder: Path, windows: Mapping[str, np.ndarray], *, command: Sequence[str]) -> dict[str, Arrays]:
    """Answers of ``serving_default`` by REST from a server that is started with TensorFlow Serving's flags.

    Args:
        folder: of the version.
        windows: what is asked.
        command: program and its own flags.

    Raises:
        ExportError: it does not start, does not load the version, or refuses a request.
    """
    name = " ".join(Path(word).name for word in command)
    with files.scratch() as scratch:
        base, log, port = Path(scratch) / "canary", Path(scratch) / "log", free_ports(1)[0]
        shutil.copytree(folder, base / "1")  # no link: the embedded server follows none out of its base path
        flags = [f"--rest_api_port={port}", "--port=0", "--model_name=canary", f"--model_base_path={base}"]
        with log.open("wb") as output:
            server = subprocess.Popen([*command, *flags], stdout=output, stderr=output)
        try:
            url = f"http://127.0.0.1:{port}/v1/models/canary"
            _wait(server, url, log, name)
            inputs = {name: value.tolist() for name, value in windows.items()}
            return {"serving_default": _outputs(_post(f"{url}:predict", {"inputs": inputs}, name))}
        finally:
            server.terminate()
            server.wait()


def _outputs(reply: Any) -> Arrays:
    outputs = reply["outputs"]
    return {
        name: np.asarray(value) for name, value in (outputs if isinstance(outputs, dict) else {"": outputs}).items()
    }


def _wait(server: subprocess.Popen[bytes], url: str, log: Path, name: str) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                states = [row["state"] for row in json.load(reply)["model_version_status"]]
            if "AVAILABLE" in states:
                return
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.2)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise ExportError(f"{name} did not load the version within {START:g} s; its last words: {(lines or [''])[-1]}.")


def _post(url: str, body: Any, name: str) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=START) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise ExportError(f"{name} refused a request: {error.read().decode(errors='replace')[:300]}.") from None
    except (OSError, ValueError) as error:
        raise ExportError(f"{name} did not answer: {error}.") from None
