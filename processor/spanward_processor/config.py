"""The operator's YAML file, checked at start: every error at once, each as `path: rule, got value`."""

import difflib
import os
import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from spanward import semconv
from spanward_processor import settings
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES, role_table

_LOOPBACK: Final = ("127.", "localhost", "[::1]")
_SECRET: Final = re.compile(r"headers|key_file|token|password", re.IGNORECASE)
_SUBSTITUTION: Final = re.compile(r"\$\{(env|file):([^}]+)\}")


class ConfigError(ValueError):
    """The configuration is wrong; `errors` holds one line per mistake."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(self.errors))


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must be HOST:PORT with a port of 0 to 65535")
    return value


def _endpoint(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in {"http", "https"} or not rest or "/" in rest.rstrip("/"):
        raise ValueError("must be http://HOST:PORT, or https://HOST:PORT for TLS")
    return value.rstrip("/")


def is_loopback(address: str) -> bool:
    """Return whether HOST:PORT can be reached from this machine only."""
    return address.startswith(_LOOPBACK)


Address = Annotated[str, AfterValidator(_address)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class ServerTls(_Section):
    """Certificate of the receiver; with `client_ca_file` senders must show one too."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


class ClientTls(_Section):
    """How a backend's certificate is checked, and ours shown to it."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> "ClientTls":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("must name cert_file and key_file together, or neither")
        return self


class Receiver(_Section):
    """Where senders reach us; beyond this machine only with TLS, or with `insecure_bind`."""

    listen: Address = "127.0.0.1:4317"
    tls: ServerTls | None = None
    insecure_bind: bool = False

    @model_validator(mode="after")
    def _safe(self) -> "Receiver":
        if not is_loopback(self.listen) and self.tls is None and not self.insecure_bind:
            raise ValueError("must have tls, or insecure_bind: true, to listen beyond loopback")
        return self


class Live(_Section):
    """Where the live page and the health endpoints are served."""

    listen: Address = "127.0.0.1:8317"
    insecure_bind: bool = False

    @model_validator(mode="after")
    def _safe(self) -> "Live":
        if not is_loopback(self.listen) and not self.insecure_bind:
            raise ValueError("must have insecure_bind: true to listen beyond loopback")
        return self


class BackendConfig(_Section):
    """One OTLP/gRPC endpoint to which everything is forwarded."""

    name: Annotated[str, Field(min_length=1)]
    endpoint: Endpoint
    headers: dict[str, str] = Field(default_factory=dict)
    compression: Literal["none", "gzip"] = "none"
    tls: ClientTls | None = None
    timeout_s: Positive = 5.0


class Forwarding(_Section):
    """How long a request waits for its backends before the sender is told to come back."""

    max_wait_s: Positive = 30.0
    backoff_initial_s: Positive = 0.2
    backoff_max_s: Positive = 5.0


class LearningConfig(_Section):
    """When a series counts as learned."""

    windows: Count = 30
    rows: Count = 300


class DetectionConfig(_Section):
    """How spans are judged."""

    window_s: Positive = 10.0
    lateness_s: NotNegative = 10.0
    false_alarms_per_day: Positive = 1.0
    flagged_rows_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.001
    learning: LearningConfig = LearningConfig()
    half_life_s: Positive = 3600.0
    slices: tuple[str, ...] = (semconv.CHANNEL,)
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _roles_exist(self) -> "DetectionConfig":
        for role in self.roles:
            if role not in TEXT_ROLES | NUMBER_ROLES:
                raise ValueError(
                    f"must name known roles ({', '.join(TEXT_ROLES | NUMBER_ROLES)}), got {role!r} in roles"
                )
        role_table(self.slices, self.roles)
        return self

    def as_settings(self) -> settings.Detection:
        """Return what the pipeline is told."""
        return settings.Detection(
            **self.model_dump(exclude={"learning"}), learning=settings.Learning(**self.learning.model_dump())
        )


class LimitsConfig(_Section):
    """What is taken and kept at most."""

    message_bytes: Count = 16 << 20
    in_flight_bytes: Count = 128 << 20
    in_flight_requests: Count = 1024
    keys: Count = 10_000
    slices_per_series: Count = 64
    cells_per_window: Count = 1_000_000
    texts: Count = 65_536
    future_s: NotNegative = 60.0

    def as_settings(self) -> settings.Limits:
        """Return what the pipeline is told."""
        return settings.Limits(**self.model_dump(exclude={"message_bytes", "in_flight_bytes", "in_flight_requests"}))


class Telemetry(_Section):
    """What the processor says of itself, as OTLP metrics to the backends."""

    interval_s: Positive = 10.0


class Config(_Section):
    """The whole file; every key has a default, an empty file is valid."""

    receiver: Receiver = Receiver()
    live: Live | None = Live()
    backends: tuple[BackendConfig, ...] = ()
    forwarding: Forwarding = Forwarding()
    detection: DetectionConfig = DetectionConfig()
    limits: LimitsConfig = LimitsConfig()
    telemetry: Telemetry = Telemetry()

    @model_validator(mode="after")
    def _distinct(self) -> "Config":
        names = [backend.name for backend in self.backends]
        if len(set(names)) < len(names):
            raise ValueError(f"backends must have distinct names, got {names}")
        return self


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
    return parse(text, environment)


def parse(text: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Check the text of a configuration; see `load`."""
    try:
        tree: object = yaml.load(text, _UniqueKeys) or {}  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError([f"configuration: must be valid YAML, got {' '.join(str(error).split())}"]) from error
    if not isinstance(tree, dict):
        raise ConfigError([f"configuration: must be a mapping, got {type(tree).__name__}"])
    tree = cast("object", tree)
    errors: list[str] = []
    filled = _substitute(tree, "", environment, errors)
    try:
        config = Config.model_validate(filled)
    except ValidationError as error:
        raise ConfigError([*errors, *map(_line, error.errors())]) from error
    if errors:
        raise ConfigError(errors)
    return config


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice, which YAML forbids and PyYAML allows."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = cast("Any", self).construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _substitute(value: object, path: str, environment: Mapping[str, str], errors: list[str]) -> object:
    """Return the tree with `${env:NAME}` and `${file:PATH}` filled in."""
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {key: _substitute(item, f"{path}.{key}".lstrip("."), environment, errors) for key, item in items}
    if isinstance(value, list):
        entries = enumerate(cast("list[object]", value))
        return [_substitute(item, f"{path}[{index}]", environment, errors) for index, item in entries]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        kind, name = match.groups()
        try:
            return environment[name] if kind == "env" else Path(name).read_text(encoding="utf-8").strip()
        except KeyError:
            errors.append(f"{path}: must name a set environment variable, got {name}")
        except OSError as error:
            errors.append(f"{path}: must name a readable file, got {name} ({error.strerror})")
        return ""

    return _SUBSTITUTION.sub(fill, value)


def _line(error: ErrorDetails) -> str:
    path = ""
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    path = path.lstrip(".") or "configuration"
    if error["type"] == "extra_forbidden":
        return f"{path}: must be a known key{_suggestion(error['loc'])}"
    rule = error["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    rule = rule if rule.startswith(("must", "backends")) else f"must {rule}" if rule.startswith("be") else rule.lower()
    return f"{path}: {rule}, got {_shown(path, error['input'])}"


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


def _shown(path: str, value: object) -> str:
    if _SECRET.search(path):
        return "***"
    if isinstance(value, dict):
        return "a mapping"
    return repr(value) if not isinstance(value, BaseModel) else "this section"
