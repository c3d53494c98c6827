"""TLS of receivers and backends; a receiver's certificate is exchanged while it runs.

Source: RFC 8446 (TLS 1.3); versions below 1.2 are refused, as RFC 8996 asks.
"""

import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from spanward_processor.forward.section import ClientTls
from spanward_processor.receive.section import ServerTls

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]
_OLDEST: Final = ssl.TLSVersion.TLSv1_2


class TlsError(Exception):
    """Certificate, key and authority do not fit together."""


class ServerCertificate:
    """What a receiver shows and asks for; read anew when a file changes, for new connections.

    Args:
        config: Where the files are.
        protocols: Application protocols offered, as `h2` (RFC 7301).

    Raises:
        TlsError: The files cannot be used.
    """

    def __init__(self, config: ServerTls, protocols: Sequence[str]) -> None:
        self._config = config
        self._protocols = list(protocols)
        self._stamp = self._stamps()
        self.context = self._current = self._read()
        self.context.sni_callback = self._use_current

    def _use_current(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Let a new connection use the newest files; OpenSSL asks before the certificate is sent, with or without a name."""
        connection.context = self._current

    def reload(self) -> bool:
        """Read the files again if one has changed; files that cannot be used leave the old ones in force.

        Returns:
            Whether new ones are in force.
        """
        try:
            stamp = self._stamps()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            self._current = self._read()
        except (OSError, TlsError) as error:
            _log.error("certificate stays as it was reason=%r", str(error))
            return False
        _log.info("certificate read anew file=%s", self._config.cert_file)
        return True

    def _read(self) -> ssl.SSLContext:
        config = self._config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _OLDEST
        context.set_alpn_protocols(self._protocols)
        _load(context, config.cert_file, config.key_file)
        if config.client_ca_file:
            _trust(context, config.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _stamps(self) -> _Stamp:
        config = self._config
        files = [config.cert_file, config.key_file, *([config.client_ca_file] if config.client_ca_file else [])]
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in (file.stat() for file in files))


def client_context(config: ClientTls | None, protocols: Sequence[str]) -> ssl.SSLContext:
    """Return how a backend's certificate is checked, and ours shown to it.

    Args:
        config: Files; None checks by the system's authorities.
        protocols: Application protocols offered.

    Raises:
        TlsError: The files cannot be used.
    """
    context = ssl.create_default_context()
    context.minimum_version = _OLDEST
    context.set_alpn_protocols(list(protocols))
    if config and config.ca_file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _OLDEST
        context.set_alpn_protocols(list(protocols))
        _trust(context, config.ca_file)
    if config and config.cert_file and config.key_file:
        _load(context, config.cert_file, config.key_file)
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        raise TlsError(f"{certificate}: must be a certificate that {key} fits, got {error}") from error


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except (ssl.SSLError, OSError) as error:
        raise TlsError(f"{authority}: must be a certificate of an authority, got {error}") from error


def _no_password() -> str:
    """Say that there is none: without this OpenSSL would ask on the terminal."""
    return ""
