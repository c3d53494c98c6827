"""The operator's YAML file, checked at start: every error at once, each as `path: rule, got value`."""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from spanward import semconv
from spanward_processor.canary.section import CanaryConfig
from spanward_processor.configuration import settings
from spanward_processor.configuration.sections import (
    Count,
    NotNegative,
    Number,
    Positive,
    ReadableFile,
    Section,
    number,
)
from spanward_processor.configuration.yamltree import Filling, UnreadableError, read_tree
from spanward_processor.dora.section import DoraConfig
from spanward_processor.journal.settings import Fsync, JournalSettings
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES, attribute_conflicts
from spanward_processor.slo.openslo import OpenSloError
from spanward_processor.slo.section import SloConfig

_SECRET: Final = re.compile(r"headers|key_file|token|password|secret", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"//[^/@]*@")
_HEADER_NAME: Final = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)", re.IGNORECASE)
_RULES: Final = {
    "missing": "must be given",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "tuple_type": "must be a list",
    "string_type": "must be a text",
    "invalid_key": "must be a text",
}


class ConfigError(ValueError):
    """The configuration is wrong; `errors` holds one line per mistake."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(self.errors))


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


def _role(name: str) -> str:
    if name not in TEXT_ROLES | NUMBER_ROLES:
        raise ValueError(f"must be a role, which are {', '.join(TEXT_ROLES | NUMBER_ROLES)}")
    return name


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("must be a header name: letters, digits, '-', '_', '.'; not grpc-..., not ...-bin")
    return name


def _header_value(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must be printable ASCII")
    return value


Address = Annotated[str, AfterValidator(_address)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Headers = dict[Annotated[str, AfterValidator(_header_name)], Annotated[str, AfterValidator(_header_value)]]


class ServerTls(Section):
    """Certificate of the receiver; with `client_ca_file` senders must show one too."""

    cert_file: ReadableFile
    key_file: ReadableFile
    client_ca_file: ReadableFile | None = None


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


class Receiver(Section):
    """Where senders reach us; beyond this machine only with TLS, or with `insecure_bind`."""

    tls: ServerTls | None = None
    tokens_file: ReadableFile | None = None
    insecure_bind: bool = False
    listen: Address = "127.0.0.1:4317"  # after what its rule looks at
    http_listen: Address | None = "127.0.0.1:4318"

    @field_validator("listen", "http_listen")
    @classmethod
    def _safe(cls, listen: str | None, info: ValidationInfo) -> str | None:
        protected = info.data.get("tls", "in error") is not None or info.data.get("insecure_bind", True)
        if listen is not None and not is_loopback(listen) and not protected:
            raise ValueError("must be on loopback, unless tls is configured or insecure_bind is true")
        return listen


class Live(Section):
    """Where the live page and the health endpoints are served."""

    insecure_bind: bool = False
    listen: Address = "127.0.0.1:8317"  # after what its rule looks at

    @field_validator("listen")
    @classmethod
    def _safe(cls, listen: str, info: ValidationInfo) -> str:
        if not is_loopback(listen) and not info.data.get("insecure_bind", True):
            raise ValueError("must be on loopback, unless insecure_bind is true")
        return listen


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


def _state_folder() -> Path:
    """Return where a user's programs keep what must survive a restart (XDG Base Directory Specification 0.8)."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "spanward"


class JournalConfig(Section):
    """Where acknowledged requests lie until every backend took them."""

    folder: Path | None = None  # null: where the user's programs keep what must survive a restart
    most_bytes: Annotated[Count, Field(ge=1 << 16, le=1 << 44)] = 1 << 30
    recent_bytes: Annotated[int, BeforeValidator(number), Field(ge=0, le=1 << 40)] = 32 << 20
    fsync: Fsync = Fsync.INTERVAL
    fsync_interval_s: Positive = 1.0

    def as_settings(self) -> JournalSettings:
        """Return what the journal is told."""
        kept = self.model_dump(exclude={"folder", "fsync_interval_s"})
        return JournalSettings(folder=self.folder or _state_folder() / "journal", **kept)


class StateConfig(Section):
    """Where what was learned is kept over a restart."""

    folder: Path | None = None  # null: the journal's folder
    interval_s: Positive = 60.0


class LearningConfig(Section):
    """When a series counts as learned."""

    windows: Count = 30
    rows: Count = 300


class DetectionConfig(Section):
    """How spans are judged."""

    window_s: Annotated[Number, Field(ge=0.1, le=86_400)] = 10.0
    lateness_s: NotNegative = 10.0
    false_alarms_per_day: Positive = 1.0
    flagged_rows_ratio: Annotated[Number, Field(ge=0, lt=1)] = 0.001
    learning: LearningConfig = LearningConfig()
    half_life_s: Positive = 3600.0
    slices: tuple[str, ...] = (semconv.CHANNEL,)
    row_models: bool = False
    roles: dict[Annotated[str, AfterValidator(_role)], tuple[str, ...]] = Field(default={}, validate_default=True)

    @field_validator("slices")
    @classmethod
    def _distinct_slices(cls, slices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(slices)) < len(slices):
            raise ValueError("must name each attribute once")
        if named := [name for name in slices if name in TEXT_ROLES | NUMBER_ROLES]:
            raise ValueError(f"must name attributes, not roles as {named[0]} is")
        return slices

    @field_validator("roles")
    @classmethod
    def _one_role_each(cls, roles: dict[str, tuple[str, ...]], info: ValidationInfo) -> dict[str, tuple[str, ...]]:
        if conflicts := attribute_conflicts(info.data.get("slices", ()), roles):
            raise ValueError(f"must give an attribute one role: {'; '.join(conflicts)}")
        return roles

    def as_settings(self) -> settings.Detection:
        """Return what the pipeline is told."""
        return settings.Detection(
            **self.model_dump(exclude={"learning"}), learning=settings.Learning(**self.learning.model_dump())
        )


class LimitsConfig(Section):
    """What is taken and kept at most."""

    message_bytes: Annotated[Count, Field(le=64 << 20)] = 16 << 20
    in_flight_bytes: Annotated[Count, Field(le=1 << 40)] = 128 << 20
    in_flight_requests: Annotated[Count, Field(le=1_000_000)] = 1024
    keys: Annotated[Count, Field(le=10_000_000)] = 10_000
    slices_per_series: Annotated[Count, Field(le=10_000_000)] = 64
    cells_per_window: Annotated[Count, Field(le=100_000_000)] = 1_000_000
    texts: Annotated[Count, Field(le=10_000_000)] = 65_536
    explained_rows: Annotated[Count, Field(le=100_000_000)] = 131_072
    future_s: NotNegative = 60.0
    attributes_per_span: Annotated[Count, Field(le=1_000_000)] = 1024
    string_bytes: Annotated[Count, Field(le=64 << 20)] = 1 << 20
    compression_ratio: Annotated[Number, Field(ge=1, le=100_000)] = 200.0
    header_bytes: Annotated[Count, Field(ge=1024, le=1 << 20)] = 16 << 10
    connections: Annotated[Count, Field(le=1_000_000)] = 1024
    requests_per_s: Annotated[Number, Field(gt=0, le=1_000_000)] | None = None

    def as_settings(self) -> settings.Limits:
        """Return what the pipeline is told."""
        return settings.Limits(**self.model_dump(include={field.name for field in fields(settings.Limits)}))


class Telemetry(Section):
    """What the processor says of itself: OTLP metrics to the backends, and where Prometheus may scrape them."""

    interval_s: Positive = 10.0
    insecure_bind: bool = False
    listen: Address | None = None  # after what its rule looks at

    @field_validator("listen")
    @classmethod
    def _safe(cls, listen: str | None, info: ValidationInfo) -> str | None:
        if listen is not None and not is_loopback(listen) and not info.data.get("insecure_bind", True):
            raise ValueError("must be on loopback, unless insecure_bind is true")
        return listen


class Config(Section):
    """The whole file; every key has a default, an empty file is valid."""

    receiver: Receiver = Receiver()
    live: Live | None = Live()
    backends: tuple[BackendConfig, ...] = ()
    journal: JournalConfig | None = JournalConfig()
    state: StateConfig | None = StateConfig()
    forwarding: ForwardingConfig = ForwardingConfig()
    detection: DetectionConfig = DetectionConfig()
    slo: SloConfig = SloConfig()
    limits: LimitsConfig = LimitsConfig()
    canary: CanaryConfig = CanaryConfig()
    dora: DoraConfig = DoraConfig()
    telemetry: Telemetry = Telemetry()

    def judging(self) -> settings.Detection:
        """Return what the pipeline is told: how spans are judged, and by which objectives."""
        return replace(self.detection.as_settings(), objectives=self.slo.objectives())

    @property
    def state_folder(self) -> Path | None:
        """Where the detectors' state is kept; None where it is not: that needs a folder, or a journal that is in use."""
        if self.state is None:
            return None
        if self.state.folder is not None:
            return self.state.folder
        return self.journal.as_settings().folder if self.journal and self.backends else None

    @field_validator("backends")
    @classmethod
    def _distinct(cls, backends: tuple[BackendConfig, ...]) -> tuple[BackendConfig, ...]:
        names = [backend.name for backend in backends]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"must have distinct names, not {', '.join(repeated)} twice")
        return backends


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read and check a configuration file.

    Args:
        path: The YAML file.
        environment: Where `${env:NAME}` is looked up.

    Raises:
        ConfigError: Everything that is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: must be a readable file, got {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ConfigError([f"{path}: must be UTF-8 text, got byte {byte:#x} at {error.start}"]) from error
    return parse(text, environment)


def parse(text: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Check the text of a configuration; see `load`."""
    filling = Filling(environment)
    try:
        tree = filling.fill(read_tree(text))
    except UnreadableError as error:
        raise ConfigError([f"configuration: {error}"]) from error
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        lines = (_line(mistake, filling.filled) for mistake in error.errors())
        raise ConfigError([*filling.errors, *lines]) from error
    if errors := [*filling.errors, *_slo_errors(config)]:
        raise ConfigError(errors)
    return config


def _slo_errors(config: Config) -> Iterable[str]:
    """Yield what is wrong with the objectives: documents are checked by more than their form."""
    try:
        objectives = config.slo.objectives()
    except OpenSloError as error:
        yield from error.errors
        return
    for objective in objectives:
        wanted = objective.selector.slice
        if wanted and wanted[0] not in config.detection.slices:
            yield f"slo, {objective.name}: must name a slice of detection.slices, got {wanted[0]}"


def _line(error: ErrorDetails, filled: set[str]) -> str:
    path = ""
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if part != "[key]" else ""
    path = path.lstrip(".") or "configuration"
    if error["type"] == "extra_forbidden":
        return f"{path}: must be a known key{_suggestion(error['loc'])}"
    rule = error["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    rule = _RULES.get(error["type"], f"must {rule}" if rule.startswith("be") else rule)
    return f"{path}: {rule}{_shown(path, error, filled)}"


def _suggestion(location: tuple[int | str, ...]) -> str:
    model: Any = Config
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        names = list(_models(model.model_fields[part].annotation)) if part in model.model_fields else []
        model = names[0] if names else Config
    close = difflib.get_close_matches(str(location[-1]), list(model.model_fields), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(model.model_fields)}"


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    """Yield the sections an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(cast("type[object]", annotation), BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _shown(path: str, error: ErrorDetails, filled: set[str]) -> str:
    value: object = error["input"]
    if error["type"] == "missing" or (error["type"] == "value_error" and isinstance(value, dict | list | tuple)):
        return ""  # the rule names what it is about
    if _SECRET.search(path) or any(place.startswith(path) for place in filled):
        return ", got ***"
    return ", got a mapping" if isinstance(value, dict) else f", got {_USER_INFO.sub('//***@', repr(value))}"
