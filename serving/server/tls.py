"""TLS and bearer token of the server: ``--ssl_config_file`` and ``--token_file``."""

from __future__ import annotations

import hmac
import re
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from keras_seq import files
from keras_seq.errors import ConfigError
from serving.models.prototext import message_class, parse_text, read_text

MIN_TOKEN = 16
MAX_TOKEN = 4096


@dataclass(frozen=True)
class Tls:
    """``SSLConfig`` of TensorFlow Serving: PEM texts, not paths.

    Attributes:
        server_key, server_cert: of this server.
        custom_ca: issuers of clients' certificates; empty: the system's.
        client_verify: clients must show a certificate.
    """

    server_key: str = field(repr=False)
    server_cert: str
    custom_ca: str = ""
    client_verify: bool = False

    def context(self) -> ssl.SSLContext:
        """SSL context for the REST port; TLS 1.2 or later.

        Raises:
            ConfigError: key and certificate are no PEM, or do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            prefix = f"keras_seq-{files.owner()}-tls-"  # what a killed process leaves is swept by the next one
            with tempfile.TemporaryDirectory(prefix=prefix) as folder:  # OpenSSL reads them from files only
                key, certificate = Path(folder, "key.pem"), Path(folder, "cert.pem")
                key.touch(mode=0o600)
                key.write_text(self.server_key, encoding="utf-8")
                certificate.write_text(self.server_cert, encoding="utf-8")
                context.load_cert_chain(certificate, key)
            if self.client_verify:
                context.verify_mode = ssl.CERT_REQUIRED
                if self.custom_ca:
                    context.load_verify_locations(cadata=self.custom_ca)
                else:
                    context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"The key and certificate of --ssl_config_file cannot be used ({error}). Give server_key and "
                "server_cert as PEM text of a pair."
            ) from None
        return context


def read_tls(path: str) -> Tls:
    """Read ``--ssl_config_file``.

    Raises:
        ConfigError: it cannot be read, has an unknown field, or no key or certificate.
    """
    try:
        message = parse_text(read_text(path, "--ssl_config_file"), message_class("SSLConfig")())
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        place = re.match(r"line \d+, column \d+", str(error))  # what stands there could be a part of the key
        raise ConfigError(
            f"The file '{path}' of --ssl_config_file is no SSLConfig in protobuf text"
            f"{f', see {place[0]}' if place else ''}. Its fields are server_key, server_cert, custom_ca and "
            "client_verify; write PEM texts in quotes, with \\n for line ends."
        ) from None
    for name in ("server_key", "server_cert"):
        if not getattr(message, name):
            raise ConfigError(f"The file '{path}' of --ssl_config_file has no '{name}'; give it as PEM text.")
    return Tls(message.server_key, message.server_cert, message.custom_ca, message.client_verify)


def read_token(path: str) -> bytes:
    """Read ``--token_file``.

    Raises:
        ConfigError: it cannot be read, or is too short to keep anybody out.
    """
    try:
        with open(path, "rb") as file:
            token = file.read(MAX_TOKEN + 1).strip()
    except OSError as error:
        raise ConfigError(f"The file '{path}' of --token_file cannot be read ({error.strerror or error}).") from None
    if not MIN_TOKEN <= len(token) <= MAX_TOKEN or not all(33 <= byte < 127 for byte in token):
        raise ConfigError(
            f"The file '{path}' of --token_file must hold one word of {MIN_TOKEN} to {MAX_TOKEN} printable characters; "
            f"it has {len(token)}. Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def is_allowed(token: bytes, sent: bytes) -> bool:
    """Whether an ``Authorization`` header carries the token; takes as long either way."""
    kind, _, word = sent.partition(b" ")
    return kind.lower() == b"bearer" and hmac.compare_digest(word.strip(), token)
