"""What was asked for: arguments before environment before defaults, in one frozen object."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from spanward.keys import Algorithm, KeySource, read_algorithm, read_key

OFF: Final = "off"
DURATION: Final = "duration"
ALL: Final = "all"
METRICS: Final = (OFF, DURATION, ALL)
"""Which metrics can be asked for."""
SPANWARD_METRICS: Final = "SPANWARD_METRICS"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force.

    Args:
        service_name: Name of the service; None leaves it to `OTEL_SERVICE_NAME`.
        endpoint: OTLP/gRPC endpoint; None leaves it to `OTEL_EXPORTER_OTLP_ENDPOINT`.
        hashing_key: Key of input hashes, 16 to 64 bytes; None for a random one of this process.
        key_id: Name of the key in spans; None derives one from the key.
        hashing_algorithm: `blake2b` or `hmac-sha256`.
        previous_hashing_key: Key before this one, under which hashes are told too while processes change over.
        previous_key_id: Its name in spans; None derives one.
        metrics: Which metrics are recorded: `off`, `duration`, or `all`, which adds token counts.
    """

    service_name: str | None = None
    endpoint: str | None = None
    hashing_key: bytes | None = field(default=None, repr=False)
    key_id: str | None = None
    hashing_algorithm: Algorithm = "blake2b"
    previous_hashing_key: bytes | None = field(default=None, repr=False)
    previous_key_id: str | None = None
    metrics: str = DURATION


def resolve(
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    hashing_key: KeySource | None = None,
    key_id: str | None = None,
    hashing_algorithm: str | None = None,
    previous_hashing_key: KeySource | None = None,
    previous_key_id: str | None = None,
    metrics: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings that hold.

    What is not given comes from the environment: `SPANWARD_` and the argument's name in capitals, keys also from the files that
    `SPANWARD_HASHING_KEY_FILE` and `SPANWARD_PREVIOUS_HASHING_KEY_FILE` name, ids from `SPANWARD_KEY_ID` and
    `SPANWARD_PREVIOUS_KEY_ID`.

    Raises:
        TypeError: A key is neither bytes nor text.
        ValueError: A key is shorter than 16 or longer than 64 bytes, cannot be read, or both keys are one; there are no
            such metrics; or the endpoint has no scheme.
    """
    key = read_key("hashing_key", hashing_key, environment)
    previous = read_key("previous_hashing_key", previous_hashing_key, environment)
    ids = (key_id or environment.get("SPANWARD_KEY_ID"), previous_key_id or environment.get("SPANWARD_PREVIOUS_KEY_ID"))
    if previous is not None and (key is None or previous == key):
        msg = "previous_hashing_key: must come with another hashing_key, got " + ("the same" if key else "none")
        raise ValueError(msg)
    if previous is not None and ids[0] and ids[0] == ids[1]:
        msg = f"previous_key_id: must differ from key_id, got {ids[0]!r} for both"
        raise ValueError(msg)
    algorithm = read_algorithm(hashing_algorithm, environment)
    return Settings(
        service_name,
        _endpoint_of(endpoint),
        key,
        ids[0] or None,
        algorithm,
        previous,
        ids[1] or None,
        _metrics_of(metrics, environment),
    )


def _endpoint_of(argument: str | None) -> str | None:
    # Without a scheme the exporter would speak TLS, and fail at the handshake again and again.
    if argument is not None and not argument.startswith(("http://", "https://")):
        raise ValueError(f"endpoint: must begin with http:// or https://, got {argument!r}")
    return argument


def _metrics_of(argument: str | None, environment: Mapping[str, str]) -> str:
    asked = argument or environment.get(SPANWARD_METRICS) or DURATION
    if asked not in METRICS:
        source = "metrics" if argument else SPANWARD_METRICS
        raise ValueError(f"{source}: must be one of {', '.join(METRICS)}, got {asked!r}")
    return asked
