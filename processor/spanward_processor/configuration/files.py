"""What is wrong inside the files that a configuration names: found by a check, before anything is bound or opened."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

from spanward_processor.canary.section import KubernetesConfig
from spanward_processor.configuration.config import Config
from spanward_processor.receive.tokens import TokenFileError, Tokens


def mistakes_in_files(config: Config) -> tuple[str, ...]:
    """Return a line for each file that cannot be used, as `path: rule, got value`; what is in it is shown to nobody.

    Args:
        config: A configuration whose files are there and can be read.
    """
    return tuple(_mistakes(config))


def _mistakes(config: Config) -> Iterator[str]:
    receiver = config.receiver
    if receiver.tls:
        yield from _pair("receiver.tls", receiver.tls.cert_file, receiver.tls.key_file)
        yield from _certificate("receiver.tls.client_ca_file", receiver.tls.client_ca_file)
    yield from _tokens("receiver.tokens_file", receiver.tokens_file)
    for number, backend in enumerate(config.backends):
        if backend.tls:
            yield from _certificate(f"backends[{number}].tls.ca_file", backend.tls.ca_file)
            yield from _pair(f"backends[{number}].tls", backend.tls.cert_file, backend.tls.key_file)
    for number, executor in enumerate(config.canary.executors):
        if isinstance(executor, KubernetesConfig):
            yield from _certificate(f"canary.executors[{number}].ca_file", executor.ca_file)


def _certificate(path: str, file: Path | None) -> Iterator[str]:
    if file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (ssl.SSLError, OSError) as error:
        yield f"{path}: must be a PEM file with a certificate ({_why(error)}), got {str(file)!r}"


def _pair(path: str, certificate: Path | None, key: Path | None) -> Iterator[str]:
    if certificate is None or key is None:
        return
    mistakes = tuple(_certificate(f"{path}.cert_file", certificate))
    yield from mistakes
    if mistakes:  # whether the key fits, nobody can tell
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        yield f"{path}.key_file: must be a PEM file with the key of cert_file, not encrypted ({_why(error)}), got {str(key)!r}"


def _tokens(path: str, file: Path | None) -> Iterator[str]:
    if file is None:
        return
    try:
        Tokens(file, time.monotonic)
    except TokenFileError as error:
        yield f"{path}: {error}"


def _why(error: OSError) -> str:
    """Return what OpenSSL says, without the place in its source."""
    return str(error).partition(" (_ssl")[0]
