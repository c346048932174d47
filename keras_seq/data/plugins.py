"""Modules of other installed packages that register sources or formats, named by entry points.

A package names its module in ``pyproject.toml``; importing it runs its ``@register``::

    [project.entry-points."keras_seq.formats"]
    vibration = "my_package.vibration"
"""

from __future__ import annotations

from importlib.metadata import entry_points

from keras_seq.errors import ConfigError


def load_plugins(group: str) -> None:
    """Import the modules of an entry point group.

    Raises:
        ConfigError: one cannot be imported; names it and its package.
    """
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # other people's modules raise anything
            package = point.dist.name if point.dist else "an installed package"
            raise ConfigError(
                f"The plug-in '{point.name}' of '{package}' ({group}: {point.value}) cannot be loaded "
                f"({type(error).__name__}: {error}); mend or uninstall that package."
            ) from None
