"""Scripted histories of deployments, in a time that a test moves: the pipeline's own parts, without its detectors."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from findings import FINDING
from spanward import semconv
from spanward_processor.configuration.settings import Limits
from spanward_processor.decode import decode
from spanward_processor.dora.deployment import Deployment
from spanward_processor.dora.deployments import Deployments
from spanward_processor.dora.report import MONTH_S, Measured, measure
from spanward_processor.dora.settings import Dora
from spanward_processor.dora.subjects import Part, Subject
from spanward_processor.features import empty_memory, rows_of
from spanward_processor.findings import Finding, Series, Severity, State
from spanward_processor.kept import Kept, gathered, part, scattered, under
from spanward_processor.keys import KeyDirectory
from spanward_processor.roles import role_table
from spanward_processor.texts import Texts
from spanward_processor.windows.event_time import Windows

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_699_999_200 * SECOND  # a full hour
ROUTER = Subject("support", "router", Part.MODEL)

Attributes = Mapping[str, str | int]


class History:
    """What is deployed, and who counts it; a step is one window.

    Args:
        settings: When a version counts as deployed.
        per_step: Requests in a step.
        step_s: Length of a step, seconds.
    """

    def __init__(self, settings: Dora | None = None, per_step: int = 20, step_s: int = 10) -> None:
        self.settings = settings or Dora()
        self.per_step = per_step
        self.step_s = step_s
        self.now = START
        self.roles = role_table(key=bytes(16))
        self._memory = empty_memory(1 << 10)
        self._begin()

    def _begin(self) -> None:
        limits = Limits()
        self.texts = Texts([self.roles.text(role) for role in ("service", "model", "version")], limits.texts)
        self.directory = KeyDirectory(
            self.roles, self.texts, most_keys=limits.keys, most_slices=limits.slices_per_series
        )
        self.windows = Windows(
            width_s=self.step_s,
            lateness_s=10.0,
            future_s=limits.future_s,
            most_cells=limits.cells_per_window,
            clock_ns=lambda: self.now,
            monotonic_ns=lambda: self.now - START,
        )
        self.recorded = Deployments(self.settings, self.directory, self.roles, self.step_s)

    def serve(self, seconds: int, versions: Mapping[str, float], **more: str | int) -> int:
        """Serve for some time, each version its share of the requests; return when that began, Unix nanoseconds.

        Args:
            seconds: How long.
            versions: Share by version of the router.
            more: Attributes of every span, two underscores for a dot.
        """
        began = self.now
        attributes = {name.replace("__", "."): value for name, value in more.items()}
        for _ in range(0, seconds, self.step_s):
            for version, share in versions.items():
                self.send(version, round(self.per_step * share), self.now + SECOND, attributes)
            self.pass_s(self.step_s)
        return began

    def send(
        self,
        version: str,
        count: int,
        end_ns: int,
        attributes: Attributes | None = None,
        resource: Attributes | None = None,
    ) -> None:
        """Send some requests of one version of the router."""
        own = {semconv.MODEL_NAME: ROUTER.model, semconv.MODEL_VERSION: version}
        sent = encoded(
            count, own | dict(attributes or {}), {semconv.SERVICE_NAME: ROUTER.service} | dict(resource or {}), end_ns
        )
        self.take(sent)

    def take(self, sent: bytes) -> None:
        """Take an encoded request, as the pipeline does."""
        batch = decode(sent, self.roles)
        self.texts.learn(batch)
        rows = rows_of(batch, self.directory.assign(batch), self.roles, self._memory)
        versions = self.recorded.note(batch, rows)
        if versions:
            self.recorded.count(versions, self.now)
        self.windows.add(rows, np.ones(len(rows)))

    def pass_s(self, seconds: int) -> None:
        """Let time go on, in which nobody sends."""
        self.now += seconds * SECOND
        for window in self.windows.close():
            self.recorded.see(window)

    def find(self, finding: Finding) -> None:
        """Let a finding open, or resolve."""
        self.recorded.hear((finding,))

    def settle(self, version: str) -> None:
        """Let a version serve for so long that all is known of what was before."""
        self.serve(18 * self.step_s, {version: 1.0})

    def restart(self) -> None:
        """Go on in another process, with what the first has kept."""
        kept = gathered(self._parts()) | under("windows", self.windows.held().arrays())
        self._begin()
        scattered(self._parts(), kept)
        self.windows.restore(part("windows", kept), away_ns=0, complete=True)

    def _parts(self) -> dict[str, Kept]:
        return {"directory": self.directory, "texts": self.texts, "recorded": self.recorded}

    @property
    def seen(self) -> list[tuple[str, str, int]]:
        """Part, version and time of each deployment."""
        return [(one.subject.part.value, one.version, one.at_ns) for one in self.deployments]

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """The deployments."""
        return self.recorded.since(0)

    def measured(self, subject: Subject = ROUTER, since_s: float = MONTH_S) -> Measured:
        """What is measured of a subject."""
        return next(one for one in measure(self.recorded, since_s)[0] if one.subject == subject)


def encoded(count: int, span: Attributes, resource: Attributes, end_ns: int) -> bytes:
    """Return an encoded request of spans that are alike."""
    request = ExportTraceServiceRequest()
    outer = request.resource_spans.add()
    for key, value in resource.items():
        _set(outer.resource.attributes.add(key=key).value, value)
    scope = outer.scope_spans.add()
    for number in range(count):
        made = scope.spans.add(start_time_unix_nano=end_ns - 50_000_000, end_time_unix_nano=end_ns)
        made.trace_id = (number + 1).to_bytes(16, "big")
        for key, value in span.items():
            _set(made.attributes.add(key=key).value, value)
    return request.SerializeToString()


def _set(target: object, value: str | int) -> None:
    setattr(target, "int_value" if isinstance(value, int) else "string_value", value)


def finding(
    opened_ns: int,
    *,
    version: str = "",
    state: State = State.OPENED,
    updated_ns: int = 0,
    severity: Severity = Severity.CRITICAL,
    kind: str = "operational",
    aspect: str = "availability",
    model: str = ROUTER.model,
    name: str = "f1",
) -> Finding:
    """Return a finding about the router."""
    return replace(
        FINDING,
        id=name,
        kind=kind,
        state=state,
        severity=severity,
        series=Series(ROUTER.service, model, version),
        detector="slo_burn",
        aspect=aspect,
        opened_ns=opened_ns,
        updated_ns=updated_ns or opened_ns,
        window_ns=HOUR,
        reason="Objective availability burns",
    )
