"""What was asked for: arguments before environment before defaults, in one frozen object."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SHORTEST_KEY: Final = 16  # bytes
LONGEST_KEY: Final = 64  # bytes, BLAKE2b's own limit

OFF: Final = "off"
DURATION: Final = "duration"
ALL: Final = "all"
METRICS: Final = (OFF, DURATION, ALL)
"""Which metrics can be asked for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force.

    Args:
        service_name: Name of the service; None leaves it to `OTEL_SERVICE_NAME`.
        endpoint: OTLP/gRPC endpoint; None leaves it to `OTEL_EXPORTER_OTLP_ENDPOINT`.
        hashing_key: Key of input hashes, 16 to 64 bytes; None for a random one of this process.
        key_id: Name of the key in spans; None derives one from the key.
        metrics: Which metrics are recorded: `off`, `duration`, or `all`, which adds token counts.
    """

    service_name: str | None = None
    endpoint: str | None = None
    hashing_key: bytes | None = field(default=None, repr=False)
    key_id: str | None = None
    metrics: str = DURATION


def resolve(
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    hashing_key: bytes | str | None = None,
    key_id: str | None = None,
    metrics: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings that hold.

    The key comes from the argument, else from `SPANWARD_HASHING_KEY`, else from the file that
    `SPANWARD_HASHING_KEY_FILE` names; its id from the argument, else from `SPANWARD_KEY_ID`.

    Raises:
        TypeError: The key is neither bytes nor text.
        ValueError: The key is shorter than 16 or longer than 64 bytes, its file cannot be read, or there are no such metrics.
    """
    key = _checked("hashing_key", hashing_key) if hashing_key is not None else _key_from(environment)
    return Settings(
        service_name,
        endpoint,
        key,
        key_id or environment.get("SPANWARD_KEY_ID") or None,
        _metrics_of(metrics, environment),
    )


def _metrics_of(argument: str | None, environment: Mapping[str, str]) -> str:
    asked = argument or environment.get("SPANWARD_METRICS") or DURATION
    if asked not in METRICS:
        source = "metrics" if argument else "SPANWARD_METRICS"
        raise ValueError(f"{source}: must be one of {', '.join(METRICS)}, got {asked!r}")
    return asked


def _key_from(environment: Mapping[str, str]) -> bytes | None:
    if key := environment.get("SPANWARD_HASHING_KEY"):
        return _checked("SPANWARD_HASHING_KEY", key)
    path = environment.get("SPANWARD_HASHING_KEY_FILE")
    if not path:
        return None
    try:
        key_of_file = Path(path).read_bytes().strip()
    except OSError as error:
        msg = f"SPANWARD_HASHING_KEY_FILE: must name a readable file, got {path!r} ({error.strerror})"
        raise ValueError(msg) from error
    return _checked(f"SPANWARD_HASHING_KEY_FILE {path!r}", key_of_file)


def _checked(source: str, key: object) -> bytes:
    """Return a key as bytes; the error says where it came from and never what it is."""
    encoded = key.encode() if isinstance(key, str) else key
    if not isinstance(encoded, bytes):
        msg = f"{source}: must be bytes or text, got {type(key).__name__}"
        raise TypeError(msg)
    if not SHORTEST_KEY <= len(encoded) <= LONGEST_KEY:
        msg = f"{source}: must be {SHORTEST_KEY} to {LONGEST_KEY} bytes, got {len(encoded)}"
        raise ValueError(msg)
    return encoded
