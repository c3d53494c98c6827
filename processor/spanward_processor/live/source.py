"""The pipeline as the live page sees it."""

from collections.abc import Callable
from typing import Final

from spanward_processor import counts as running
from spanward_processor.configuration.config import Config
from spanward_processor.dora.report import measure
from spanward_processor.findings import Finding
from spanward_processor.live.panels import budget_view, canary_view
from spanward_processor.live.view import Counts, DoraView, History, SeriesView, Snapshot
from spanward_processor.panorama import Standing
from spanward_processor.pipeline import Pipeline

_MOST_CANARIES: Final = 32
_MOST_DEPLOYMENTS: Final = 50


class PipelineSource:
    """Snapshots of a pipeline, and the transitions of its findings.

    Args:
        pipeline: What is watched.
        counts: Running totals of the receiver.
        forwarded: Returns how many spans every backend took.
        config: Window length and budget.
        version: Version of the processor.
    """

    def __init__(
        self, pipeline: Pipeline, counts: running.Counts, forwarded: Callable[[], int], config: Config, version: str
    ) -> None:
        self._pipeline = pipeline
        self._panorama = pipeline.panorama
        self._counts = counts
        self._forwarded = forwarded
        self.config = config
        self._version = version

    def snapshot(self) -> Snapshot:
        """Return how everything stands now."""
        counts, findings = self._counts, self._panorama.findings()
        measured, deployed = measure(self._pipeline.deployments)
        return Snapshot(
            version=self._version,
            started_ns=self._panorama.started_ns,
            watermark_ns=self._panorama.watermark_ns,
            window_s=self.config.detection.window_s,
            budget_per_day=self.config.detection.false_alarms_per_day,
            counts=Counts(
                accepted=counts.accepted,
                refused=counts.refused,
                dropped=counts.dropped,
                late=counts.late,
                forwarded=self._forwarded(),
                annotated=counts.annotated,
            ),
            series=tuple(_view(standing) for standing in self._panorama.standings()),
            findings=findings,
            budgets=tuple(budget_view(standing, findings) for standing in self._pipeline.budgets),
            canaries=tuple(
                canary_view(verdict, findings) for verdict in self._pipeline.canaries.answers[:_MOST_CANARIES]
            ),
            dora=DoraView(measured, deployed[:_MOST_DEPLOYMENTS]),
        )

    def transitions(self, after: int) -> tuple[tuple[int, Finding], ...]:
        """Return the numbered transitions after a number."""
        return self._panorama.transitions(after)


def _view(standing: Standing) -> SeriesView:
    newest = standing.history[-1] if standing.history else None
    return SeriesView(
        key=standing.key,
        series=standing.series,
        state="ready" if standing.ready else "learning",
        progress=standing.progress,
        reason=standing.reason,
        rate_per_s=newest.rate_per_s if newest else None,
        error_ratio=newest.error_ratio if newest else None,
        latency_p50_s=newest.latency_p50_s if newest else None,
        latency_p99_s=newest.latency_p99_s if newest else None,
        input_size_p50=newest.input_p50 if newest else None,
        decisions=standing.decisions,
        history=History(
            t_s=tuple(point.t_s for point in standing.history),
            rate_per_s=tuple(point.rate_per_s for point in standing.history),
            latency_p50_s=tuple(point.latency_p50_s for point in standing.history),
            latency_p99_s=tuple(point.latency_p99_s for point in standing.history),
            error_ratio=tuple(point.error_ratio for point in standing.history),
        ),
    )
