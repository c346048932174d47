"""What ``--extras_prefix`` adds to the contract: health, descriptions, a checking predict, OIP v2, a page.

::

    from serving.extras import make_extras
    from serving.extras.http import ExtrasRequest

    extras = make_extras(app, settings)                              # app: see serving.extras.http.ExtrasHost
    extras.answer(ExtrasRequest("GET", "/keras_seq/models"))               # blocks: call it in a thread
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.extras.http import ExtrasHost
    from serving.extras.routes import Extras
    from serving.settings import Settings


def make_extras(app: ExtrasHost, settings: Settings) -> Extras:
    """See ``serving.extras.routes.make_extras``."""
    from serving.extras.routes import make_extras as make

    return make(app, settings)


__all__ = ["make_extras"]
