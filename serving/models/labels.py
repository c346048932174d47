"""Names of version numbers: ``version_labels``."""

from __future__ import annotations

from collections.abc import Mapping

from serving.contract.status import Code, Refused, invalid
from serving.contract.version_state import VersionState
from serving.models.config import ServerConfig
from serving.models.settings import ManagerSettings


class Labels:
    """Versions by model and label; never changed, only replaced."""

    def __init__(self, known: Mapping[tuple[str, str], int] | None = None) -> None:
        self._known = dict(known or {})

    def version(self, model: str, label: str) -> int:
        """The version that a label names.

        Raises:
            Refused: INVALID_ARGUMENT "Unrecognized servable version label: nope".
        """
        number = self._known.get((model, label))
        if number is None:
            raise invalid(f"Unrecognized servable version label: {label}")
        return number

    def get(self, model: str, label: str) -> int | None:
        """The version that a label names, or None."""
        return self._known.get((model, label))


def check(
    config: ServerConfig,
    before: Labels,
    states: Mapping[str, Mapping[int, VersionState]],
    settings: ManagerSettings,
) -> Labels:
    """The labels of a configuration, by the rules of ``ServerCore::UpdateModelVersionLabelMap``.

    A label names a version that is AVAILABLE. With ``allow_version_labels_for_unavailable_models`` a new label may
    name any, one that is moved may not; with ``force_allow_any_version_labels_for_unavailable_models`` any may.

    Raises:
        Refused: FAILED_PRECONDITION, in the words of TensorFlow Serving.
    """
    numbers = dict[tuple[str, str], int]()
    for model in config.models:
        for label, number in model.labels.items():
            moved = before.get(model.name, label) not in (None, number)
            free = settings.force_allow_any_version_labels_for_unavailable_models or (
                settings.allow_version_labels_for_unavailable_models and not moved
            )
            state = states.get(model.name, {}).get(number)
            if not free and (state is None or state.state != "AVAILABLE"):
                raise Refused(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {model.name}, "
                    "which is not currently available for inference",
                )
            numbers[model.name, label] = number
    return Labels(numbers)
