"""What ``--extras_prefix`` adds to the contract: health, descriptions, a checking predict, OIP v2, a page.

::

    from serving.extras import make_extras
    from serving.extras.http import ExtrasRequest

    extras = make_extras(app, settings)                              # app: see serving.extras.http.App
    extras.answer(ExtrasRequest("GET", "/keras_seq/models"))               # blocks: call it in a thread
"""

from __future__ import annotations

from typing import Any


def make_extras(app: Any, settings: Any) -> Any:
    """See ``serving.extras.routes.make_extras``."""
    from serving.extras.routes import make_extras as make

    return make(app, settings)


__all__ = ["make_extras"]
