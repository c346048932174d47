"""Put a version where a server looks for it: only a blessed one, and never half of it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from keras_seq import files
from keras_seq.errors import ExportError
from keras_seq.export.gate import read_verdict
from keras_seq.export.record import FOLDER, check_seal, seal
from keras_seq.export.saved_model import next_version

PUSHED = f"{FOLDER}/pushed.json"


def push(version: str | Path, base: str | Path, *, force: bool = False, number: int | None = None) -> Path:
    """Copy an exported version to ``base`` under the next number.

    The copy is filled under a name that is no number, which no server loads, and renamed; killed at any moment, a
    push leaves nothing that could be served. Pushes to one base path wait for each other.

    Args:
        version: folder that ``python -m keras_seq.export`` wrote.
        base: model base path, such as ``saved_models/caster``.
        force: push what the gate did not bless; the copy says so.
        number: of the new version; None: the next one.

    Returns:
        The new version folder.

    Raises:
        ExportError: not blessed; changed or incomplete since it was exported; without a SavedModel.
        OutputError: ``base`` cannot be written, or the version ``number`` exists.
    """
    version, base = Path(version), Path(base)
    check_seal(version)
    verdict = read_verdict(version)
    if not (version / "saved_model.pb").is_file():
        raise ExportError(f"Version '{version}' has no saved_model.pb; export it with saved_model among --formats.")
    if verdict is None or not (verdict["blessed"] or force):
        reasons = "; ".join(verdict["reasons"]).rstrip(".") if verdict else "the gate has not judged it"
        raise ExportError(
            f"Version '{version}' is not blessed, so it is not pushed to '{base}': {reasons}. "
            "Mend that and export again, or push all the same with --force."
        )
    files.ensure_writable(base)
    with files.locked(base / ".push.lock"):  # one push at a time
        target = base / str(number or next_version(base))
        with files.new_folder(target) as partial:
            shutil.copytree(version, partial, dirs_exist_ok=True)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            note = {"from": str(version), "at": now, "forced": not verdict["blessed"], "reasons": verdict["reasons"]}
            files.write_json(partial / PUSHED, note)
            seal(partial)
    return target
