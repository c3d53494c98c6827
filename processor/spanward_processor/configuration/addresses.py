"""Where something listens, and where something is reached: HOST:PORT, and URLs of it."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def _address(value: str) -> str:
    if not _is_address(value):
        raise ValueError("must be HOST:PORT, an IPv6 HOST in brackets, with a port of 0 to 65535")
    return value


def _is_address(value: str) -> bool:
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    plain = re.fullmatch(r"[^\s/@:\[\]]+", host) is not None
    return (bracketed or plain) and re.fullmatch(r"[0-9]{1,5}", port) is not None and int(port) <= 65_535


def _endpoint(value: str) -> str:
    scheme, _, address = value.rstrip("/").partition("://")
    if scheme not in {"http", "https"} or not _is_address(address):
        raise ValueError("must be http://HOST:PORT, or https://HOST:PORT for TLS")
    return value.rstrip("/")


def is_loopback(address: str) -> bool:
    """Return whether HOST:PORT can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # any other name may resolve to anything


def _plain(value: str, info: ValidationInfo) -> str:
    if not is_loopback(value) and not info.data.get("insecure_bind", True):
        raise ValueError("must be on loopback, unless insecure_bind is true")
    return value


Address = Annotated[str, AfterValidator(_address)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
PlainAddress = Annotated[Address, AfterValidator(_plain)]
"""Where something listens that is never encrypted; it stands behind the `insecure_bind` that its rule looks at."""
