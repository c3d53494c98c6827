"""What a finding is: one claim with its reason; and which findings are one incident."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

TOGETHER_WINDOWS: Final = 6  # from one finding of a series to the next that is taken for the same incident


class State(StrEnum):
    """Where a lasting finding stands."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How soon a person should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Series:
    """What a baseline is kept for: one version of one model in one service, or one slice of it."""

    service: str
    model: str
    version: str
    slice: tuple[str, str] | None = None  # (attribute name, value), e.g. ("spanward.channel", "partner-feed")

    def __str__(self) -> str:
        text = f"{self.service} / {self.model} {self.version}".rstrip()
        return text if self.slice is None else f"{text} [{self.slice[0]}={self.slice[1]}]"


@dataclass(frozen=True, slots=True)
class SliceShare:
    """One slice's part in a finding."""

    name: str  # attribute name
    value: str
    log10_e: float
    n: int
    text: str  # what moved inside the slice, in words
    share: float = 0.0  # part of the shift that it explains, where that was asked
    also: tuple[tuple[str, str], ...] = ()  # further attributes and values, all of which hold: rows of both

    def __str__(self) -> str:
        return " and ".join(f"{name}={value}" for name, value in ((self.name, self.value), *self.also))


@dataclass(frozen=True, slots=True)
class Technique:
    """A MITRE ATLAS technique, as named by the pinned data version."""

    id: str
    name: str
    maturity: str
    data_version: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One claim with its reason.

    Args:
        id: Deterministic 128-bit hex id; the same claim opened at the same window has the same id everywhere.
        kind: Group for dashboards: `operational`, `performance`, `quality` or `security`; `info` for what is no alarm.
        state: Opened, updated or resolved.
        severity: Info, warning or critical.
        series: Service, model, version and, where one slice carries the claim, that slice.
        detector: Name of the detector, as in the registry.
        aspect: What moved: `latency`, `decision`, `rate`, ...
        opened_ns: End of the window in which the finding opened, Unix nanoseconds.
        updated_ns: End of the newest window it speaks of, Unix nanoseconds.
        window_ns: Length of that window, nanoseconds.
        observed: Observed value, in words with unit.
        baseline: Learned value, in words with unit.
        log10_e: Evidence accumulated against "nothing changed", log10 of an e-value.
        p: p-value of the newest window.
        n: Rows in the newest window.
        budget_per_day: False alarms per day allowed for the whole deployment, by which it was judged.
        reason: The sentence for a person.
        slices: Contributing slices, strongest first.
        technique: MITRE ATLAS technique where one applies.
        client: Who is meant where it is one client, as its spans name it; else empty.
        example_trace_id: Hex trace id of a row that carries it, or empty.
        incident: Id of the finding with which its incident began, its own where it is that one; empty where nobody asked.
        recurrences: On how many of the 28 days before a finding about the same opened at about this time of day.
    """

    id: str
    kind: str
    state: State
    severity: Severity
    series: Series
    detector: str
    aspect: str
    opened_ns: int
    updated_ns: int
    window_ns: int
    observed: str
    baseline: str
    log10_e: float
    p: float
    n: int
    budget_per_day: float
    reason: str
    slices: tuple[SliceShare, ...] = ()
    technique: Technique | None = None
    client: str = ""
    example_trace_id: str = ""
    incident: str = ""
    recurrences: int = 0


def finding_id(detector: str, aspect: str, series: Series, opened_ns: int) -> str:
    """Return the id of a claim that opened at a time."""
    parts = (detector, aspect, series.service, series.model, series.version, *(series.slice or ()), str(opened_ns))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def max_severity(left: Finding, right: Finding) -> Severity:
    """Return the higher of two severities: a finding never becomes less severe while it lasts."""
    order = list(Severity)
    return max(left.severity, right.severity, key=order.index)


def joined(finding: Finding, others: Iterable[Finding]) -> Finding:
    """Return a new finding as part of the incident that is going on, or as the first of one.

    Args:
        finding: The new one.
        others: The open findings of its series.
    """
    reach_ns = TOGETHER_WINDOWS * finding.window_ns
    near = [one for one in others if finding.opened_ns - one.opened_ns <= reach_ns]
    newest = max(near, key=lambda one: one.opened_ns, default=finding)
    return replace(finding, incident=newest.incident or finding.id)


def beside(finding: Finding, others: Iterable[Finding]) -> str:
    """Say what else shows the incident of a finding, or with what it began; nothing where the finding stands alone.

    Args:
        finding: Who is told.
        others: The open findings of its series.
    """
    same = {one.id: one.aspect.replace("_", " ") for one in others if one.incident == finding.incident}
    same.pop(finding.id, None)
    if not same:
        return ""
    if finding.incident in same:
        return f" Same incident as '{same[finding.incident]}', which opened first."
    return f" Same incident: {', '.join(dict.fromkeys(same.values()))}."


def as_plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON can hold it."""
    return asdict(finding)


def from_plain(plain: dict[str, Any]) -> Finding:
    """Return the finding that `as_plain` was given, after it went through JSON."""
    series, technique = plain["series"], plain["technique"]
    parts: dict[str, Any] = {
        "state": State(plain["state"]),
        "severity": Severity(plain["severity"]),
        "series": Series(**series | {"slice": tuple(series["slice"]) if series["slice"] else None}),
        "slices": tuple(
            SliceShare(**share | {"also": tuple((name, value) for name, value in share.get("also", ()))})
            for share in plain["slices"]
        ),
        "technique": Technique(**technique) if technique else None,
    }
    return Finding(**(plain | parts))
