"""The operator's YAML file, checked at start: every error at once, each as `path: rule, got value`."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator

from spanward import semconv
from spanward_processor.canary.section import CanaryConfig
from spanward_processor.configuration import settings
from spanward_processor.configuration.addresses import PlainAddress
from spanward_processor.configuration.mistakes import in_words
from spanward_processor.configuration.sections import Count, NotNegative, Number, Positive, Section
from spanward_processor.configuration.yamltree import Filling, UnreadableError, read_tree
from spanward_processor.dora.section import DoraConfig
from spanward_processor.forward.section import BackendConfig, ForwardingConfig
from spanward_processor.journal.section import JournalConfig
from spanward_processor.live.section import Live
from spanward_processor.receive.section import Receiver
from spanward_processor.roles import NUMBER_ROLES, TEXT_ROLES, attribute_conflicts
from spanward_processor.slo.openslo import OpenSloError
from spanward_processor.slo.section import SloConfig


class ConfigError(ValueError):
    """The configuration is wrong; `errors` holds one line per mistake."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(self.errors))


def _role(name: str) -> str:
    if name not in TEXT_ROLES | NUMBER_ROLES:
        raise ValueError(f"must be a role, which are {', '.join(TEXT_ROLES | NUMBER_ROLES)}")
    return name


class StateConfig(Section):
    """Where what was learned is kept over a restart."""

    folder: Path | None = None  # null: the journal's folder
    interval_s: Positive = 60.0


class LearningConfig(Section):
    """When a series counts as learned."""

    windows: Count = 30
    rows: Count = 300


class LearnedAfterConfig(Section):
    """How long a finding of each kind holds what it speaks of, before it is learned all the same."""

    operational: Positive | None = 86_400.0
    performance: Positive | None = 86_400.0
    quality: Positive | None = None  # null: as long as it lasts
    security: Positive | None = None


class DetectionConfig(Section):
    """How spans are judged."""

    window_s: Annotated[Number, Field(ge=0.1, le=86_400)] = 10.0
    lateness_s: NotNegative = 10.0
    false_alarms_per_day: Positive = 1.0
    flagged_rows_ratio: Annotated[Number, Field(ge=0, lt=1)] = 0.001
    learning: LearningConfig = LearningConfig()
    learned_after_s: LearnedAfterConfig = LearnedAfterConfig()
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
            **self.model_dump(exclude={"learning", "learned_after_s"}),
            learning=settings.Learning(**self.learning.model_dump()),
            learned_after=settings.LearnedAfter(**self.learned_after_s.model_dump()),
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
    idle_keys_s: Annotated[Number, Field(gt=0, le=366 * 86_400)] = 86_400.0
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
    listen: PlainAddress | None = None  # after what its rule looks at


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
        lines = (in_words(mistake, Config, filling.filled) for mistake in error.errors())
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
