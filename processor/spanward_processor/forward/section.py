"""How an operator writes it: the sections `backends` and `forwarding` of the configuration."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from spanward_processor.configuration import settings
from spanward_processor.configuration.addresses import Endpoint
from spanward_processor.configuration.sections import Count, NotNegative, Positive, ReadableFile, Section

_HEADER_NAME: Final = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)", re.IGNORECASE)


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("must be a header name: letters, digits, '-', '_', '.'; not grpc-..., not ...-bin")
    return name


def _header_value(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must be printable ASCII")
    return value


Headers = dict[Annotated[str, AfterValidator(_header_name)], Annotated[str, AfterValidator(_header_value)]]


class ClientTls(Section):
    """How a backend's certificate is checked, and ours shown to it."""

    ca_file: ReadableFile | None = None
    cert_file: ReadableFile | None = None
    key_file: ReadableFile | None = Field(default=None, validate_default=True)

    @field_validator("key_file")
    @classmethod
    def _pair(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        if "cert_file" in info.data and (info.data["cert_file"] is None) != (key_file is None):
            raise ValueError("must be given together with cert_file, or neither")
        return key_file


class BackendConfig(Section):
    """One OTLP endpoint to which everything is forwarded."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    protocol: Literal["grpc", "http"] = "grpc"
    endpoint: Endpoint
    headers: Headers = Field(default_factory=dict)
    compression: Literal["none", "gzip"] = "none"
    tls: ClientTls | None = None
    timeout_s: Positive = 5.0

    @field_validator("tls")
    @classmethod
    def _used(cls, tls: ClientTls | None, info: ValidationInfo) -> ClientTls | None:
        if tls is not None and info.data.get("endpoint", "https").startswith("http:"):
            raise ValueError("must stand only with an https:// endpoint; over http:// nothing is encrypted")
        return tls


class ForwardingConfig(Section):
    """How patient we are with backends."""

    max_wait_s: Positive = 30.0
    backoff_initial_s: Positive = 0.2
    backoff_max_s: Positive = 5.0
    joined_bytes: Annotated[Count, Field(le=64 << 20)] = 512 << 10
    in_flight: Annotated[Count, Field(le=1024)] = 4
    drain_s: NotNegative = 10.0
    permanent_codes: settings.PermanentCodes = settings.PermanentCodes.WAIT

    def as_settings(self) -> settings.Forwarding:
        """Return what delivery is told."""
        return settings.Forwarding(**self.model_dump())
