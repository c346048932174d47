"""The password of a tracking store: out of the experiment before anything is written, back in when the store is opened.

``postgresql://user:password@host/runs`` becomes ``postgresql://user:***@host/runs`` while it is validated, so that
bundles, records, reports and messages cannot hold the password. It goes on in the environment of this process, which
those it starts inherit; whoever opens a bundle later gives it there.
"""

from __future__ import annotations

import os
from urllib.parse import quote

from keras_seq.errors import HIDDEN, ConfigError, find_passwords, hide_passwords

VARIABLE = "KERAS_SEQ_TRACKING_PASSWORD"


def keep_password(uri: str) -> str:
    """The URI without its password, which goes to the environment variable ``VARIABLE`` as it stands in the URI.

    Raises:
        ValueError: it holds two different passwords.
    """
    passwords = find_passwords(uri) - {HIDDEN}
    if len(passwords) > 1:
        raise ValueError("holds more than one password; give one in the URI and the rest in the driver's own files")
    if passwords:
        os.environ[VARIABLE] = passwords.pop()
    return hide_passwords(uri)


def with_password(uri: str) -> str:
    """The URI as a driver needs it.

    Raises:
        ConfigError: its password was taken out and is not in the environment.
    """
    uri = keep_password(uri)
    if HIDDEN not in find_passwords(uri):
        return uri
    password = os.environ.get(VARIABLE)
    if not password:
        raise ConfigError(
            f"The password of the tracking store '{uri}' is kept in no file. Set it in the environment variable "
            f"{VARIABLE}, as it stands in the URI, or give the whole URI with --tracking.uri."
        )
    return uri.replace(HIDDEN, quote(password, safe="%"))
