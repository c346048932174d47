"""The model whose weights a warm start takes."""

from __future__ import annotations

from pathlib import Path

import keras

from keras_seq import files
from keras_seq.errors import ModelError


def load_source(path: str | Path) -> keras.Model:
    """The model in a bundle, in the run folder that holds one, or in a ``.keras`` file.

    Raises:
        ModelError: it is not there, was changed since it was written, or cannot be read.
    """
    folder = Path(path)
    places = [folder / "model.keras", folder / "bundle" / "model.keras"] if folder.is_dir() else [folder]
    file = next((place for place in places if place.is_file()), places[0])
    if not file.is_file():
        raise ModelError(
            f"Option 'training.warm_start': there is no model at '{file}'. Give a bundle or run folder (it holds "
            "model.keras) or a .keras file."
        )
    if not files.is_as_written(file):
        raise ModelError(
            f"Option 'training.warm_start': '{file}' was changed after it was written (its sha256 differs). Restore "
            "it from a copy, or give another one."
        )
    import keras_seq.models.assembly  # noqa: F401  (registers our layers)

    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"Option 'training.warm_start': the model '{file}' cannot be read ({reason}).") from None
