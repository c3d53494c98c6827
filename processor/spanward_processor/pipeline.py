"""The way of a span, wired: decode, learn names, score rows, annotate; later, once delivered, count in windows.

Read this first. `process` is what happens before a request goes on, `acknowledge` what happens once every backend took
it, and `tick` what happens when event time has moved on.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.annotate import Templates, annotate
from spanward_processor.attribution.contributions import Contributions
from spanward_processor.canary.canaries import Canaries
from spanward_processor.canary.settings import Canary
from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.decode import UndecodableError, decode
from spanward_processor.detectors import Baseline, panel
from spanward_processor.detectors.base import RowDetector
from spanward_processor.dora.deployments import Deployments
from spanward_processor.dora.settings import Dora
from spanward_processor.dora.traffic import Versions
from spanward_processor.explain.why import Why
from spanward_processor.features import Rows
from spanward_processor.findings import Finding
from spanward_processor.judging.judge import Judge
from spanward_processor.kept import Arrays, gathered, part, scattered, under
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.keys import IDLE_ROUNDS
from spanward_processor.naming import Naming
from spanward_processor.panorama import Panorama
from spanward_processor.pruning import MixedError, Refusals, find_refusals, pruned
from spanward_processor.signals import Encoded
from spanward_processor.slo.burning import Standing as Budget
from spanward_processor.slo.watch import Marks, Watch
from spanward_processor.windows.event_time import Windows
from spanward_processor.windows.window import Window

_SEED: Final = 1  # of which rows are kept as examples of how long calls take; nobody gains by knowing it


@dataclass(frozen=True, slots=True)
class Processed:
    """A request on its way.

    Args:
        payload: What to forward: the very bytes that came when no row was annotated.
        spans: Spans in it; refused ones are not.
        annotated: Spans that were annotated.
        removed: Inbound attributes under the processor's own prefix that were removed.
        rows: Its rows, to be counted once it is delivered; None when it holds no inference span.
        p: (n,) float64 p-value of each row.
        marks: The objectives its rows count for; None where there are no objectives.
        versions: What it says of versions beside those of models; None where it is nothing.
        refusals: Spans that did not come in.
    """

    payload: Encoded
    spans: int
    annotated: int
    removed: int
    rows: Rows | None
    p: Floats
    marks: Marks | None
    versions: Versions | None
    refusals: Refusals


class Pipeline:
    """The processor without its network: requests in, requests and findings out.

    Args:
        settings: How spans are judged.
        limits: What is kept at most.
        clock_ns: Returns the time of day, Unix nanoseconds.
        monotonic_ns: Returns a clock that never steps, nanoseconds.
        canary: How two versions of one model are compared.
        dora: When a version counts as deployed.
        kept: What an earlier pipeline of the same settings has kept; None begins to learn anew.
    """

    def __init__(
        self,
        settings: Detection,
        limits: Limits,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        canary: Canary | None = None,
        dora: Dora | None = None,
        kept: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._clock_ns = clock_ns
        self.naming = Naming(settings, limits, part("naming", kept) if kept else None)
        directory, text = self.naming.directory, self.naming.texts.__getitem__
        self._windows = Windows(
            width_s=settings.window_s,
            lateness_s=settings.lateness_s,
            future_s=limits.future_s,
            most_cells=limits.cells_per_window,
            clock_ns=clock_ns,
            monotonic_ns=monotonic_ns,
        )
        decay = float(0.5 ** (settings.window_s / settings.half_life_s))
        self.canaries = Canaries(
            canary or Canary(),
            directory,
            text,
            limits,
            clock_ns=clock_ns,
            monotonic_ns=monotonic_ns,
        )
        self.deployments = Deployments(dora or Dora(), directory, self.naming.roles, settings.window_s)
        self.why = Why(directory, limits.explained_rows, clock_ns=clock_ns, rng=np.random.default_rng(_SEED))
        self._detectors = panel(settings.learning, decay, fitted=settings.row_models)
        baseline = next(detector for detector in self._detectors if isinstance(detector, Baseline))
        self._judge = Judge(
            self._detectors,
            directory,
            text,
            window_s=settings.window_s,
            false_alarms_per_day=settings.false_alarms_per_day,
            learned_after=settings.learned_after,
            contributions=Contributions(directory, baseline.usual, text),
            why=self.why.of_finding,
        )
        self.panorama = Panorama(directory, baseline, text, settings, clock_ns)
        self.objectives = self._watch_of(settings, None)
        self._scoring = tuple(detector for detector in self._detectors if isinstance(detector, RowDetector))
        self._row_detectors = tuple(detector.name for detector in self._scoring)
        self._templates = Templates.of({}, self._row_detectors)
        self.others = 0
        """Values that windows counted as "other", since the start."""
        self._round_ns = 0  # event time at which a round of keys that are not seen began
        self._stateful = threading.Lock()  # keys, texts and recent inputs; held for microseconds
        self._windowing = threading.Lock()  # open windows; held for as long as it takes to count a request
        self._judging = threading.Lock()  # everything behind closed windows
        if kept:
            self._restore(kept)

    # --- a request on its way ------------------------------------------------------------------------------------------

    def process(self, request: bytes, *, joined: bool = False) -> Processed:
        """Decode, score and annotate one request; thread-safe.

        Args:
            request: Encoded ExportTraceServiceRequest.
            joined: Whether it is made of several senders' requests.

        Raises:
            UndecodableError: The bytes are malformed.
            MixedError: It is joined, and some of its spans are refused.
        """
        batch = decode(request, self.naming.roles)
        refusals, outer_reserved = find_refusals(batch, self._limits), batch.outer_reserved
        if refusals.spans and joined:
            raise MixedError
        if refusals.spans or outer_reserved:
            request = pruned(batch, refusals)
            batch = decode(request, self.naming.roles)
        with self._stateful:
            rows = self.naming.rows(batch)
            marks = self.objectives.mark(batch, rows) if self.objectives else None
            versions = self.deployments.note(batch, rows)
        p = self._score(rows)
        templates = self._templates
        chosen = templates.choose(rows, p <= self._settings.flagged_rows_ratio)
        annotated = int(np.count_nonzero(chosen >= 0))
        changed = annotated or len(batch.reserved)
        return Processed(
            payload=annotate(batch, templates, chosen, p) if changed else request,
            spans=len(batch),
            annotated=annotated,
            removed=len(batch.reserved) + outer_reserved,
            rows=rows if _has_series(rows) else None,
            p=p,
            marks=marks,
            versions=versions,
            refusals=refusals,
        )

    def _score(self, rows: Rows) -> Floats:
        """Return (n,) float64 the smallest p-value that a detector of single rows has for each row, times their number."""
        first, *others = self._scoring
        p = self._score_by(first, rows)
        for detector in others:
            p = np.minimum(p, self._score_by(detector, rows))
        return np.minimum(p * len(self._scoring), 1.0)

    def _score_by(self, detector: RowDetector, rows: Rows) -> Floats:
        began_s = time.perf_counter()
        p = detector.score(rows)
        self._judge.spent.add(detector.name, "rows", time.perf_counter() - began_s)
        return p

    def acknowledge(self, processed: Processed) -> int:
        """Count a delivered request's rows in their windows; return how many were late.

        A refused request is sent again by its sender; counting only what was delivered counts it once.
        """
        if processed.rows is None:
            return 0
        with self._windowing:
            self.canaries.take(processed.rows)
            if self.objectives and processed.marks:
                self.objectives.count(processed.rows, processed.marks, self._clock_ns())
            if processed.versions:
                self.deployments.count(processed.versions, self._clock_ns())
            return self._windows.add(processed.rows, processed.p)

    # --- event time moves on -------------------------------------------------------------------------------------------

    def tick(self) -> tuple[Finding, ...]:
        """Close the windows whose time has come and return what changed about the findings; call it often."""
        return self._close(every=False)

    def flush(self) -> tuple[Finding, ...]:
        """Close every window that holds rows, as at the end of a replay."""
        return self._close(every=True)

    def _close(self, *, every: bool) -> tuple[Finding, ...]:
        with self._judging:
            self.why.gauges.read()
            with self._windowing:
                due = deque(self._windows.due(every=every))
                trials = self.canaries.due(every=every)
                watermark_ns = self._windows.watermark_ns
                burning = self._watch_budgets()
            changes: list[Finding] = []
            while due:
                changes += self._hear(due.popleft().close())  # not held meanwhile: what it counted in takes megabytes
            for close in trials:
                changes += self._try(close())
            self.panorama.watermark_ns = watermark_ns
            self._show(burning)
            self._make_room(watermark_ns)
        return (*changes, *burning)

    def _hear(self, window: Window) -> tuple[Finding, ...]:
        self.why.keep(window)
        self.others += window.others()
        changes = self._judge.hear(window)
        self._templates = Templates.of(self._judge.carriers(), self._row_detectors)
        self.panorama.see(window)
        self.deployments.see(window)
        self._show(changes)
        with self._windowing:
            self.canaries.see(window)
        return changes

    def _try(self, window: Window) -> tuple[Finding, ...]:
        """Let the trials of canaries hear a window of theirs."""
        changes = self.canaries.hear(window)
        if changes:
            self._show(changes)
        return changes

    def _make_room(self, watermark_ns: int) -> None:
        """Let keys that were not seen for long make room for others, once in a round of event time."""
        if 0 <= watermark_ns - self._round_ns < self._limits.idle_keys_s * 1e9 / IDLE_ROUNDS:
            return
        begins, self._round_ns = self._round_ns == 0, watermark_ns
        if begins:
            return
        with self._windowing, self._stateful:
            gone = self.naming.directory.evict(self.spoken_of())
            if gone.any():
                self.canaries.evict(gone)
        if gone.any():
            self._judge.evict(gone)
            self.panorama.evict(gone)
            self.deployments.evict(gone)

    def spoken_of(self) -> Ints:
        """Return (n,) int64 the keys that open findings and trials speak of: they make room for nobody."""
        return np.concatenate((self._judge.spoken_of(), self.canaries.spoken_of()))

    def note(self, finding: Finding) -> None:
        """Show a finding that no window brought, such as that a canary was rolled back."""
        with self._judging:
            self._show((finding,))

    def _show(self, changes: tuple[Finding, ...]) -> None:
        self.panorama.hear(changes, self._open_findings())
        self.deployments.hear(changes)

    def _watch_budgets(self) -> tuple[Finding, ...]:
        newest_ns = self._windows.now_ns
        return self.objectives.judge(newest_ns) if self.objectives and newest_ns else ()

    def _open_findings(self) -> tuple[Finding, ...]:
        burning = self.objectives.open_findings if self.objectives else ()
        return (*self._judge.open_findings, *self.canaries.open_findings, *burning)

    # --- over a restart ------------------------------------------------------------------------------------------------

    def arrays(self, *, complete: bool) -> Arrays:
        """Return all that another pipeline needs to go on as this one would; requests on their way hardly wait for it.

        Args:
            complete: Whether nothing will be acknowledged any more.
        """
        with self._judging:
            judged = gathered({"judge": self._judge, "deployments": self.deployments, "why": self.why}) | under(
                "panorama", self.panorama.arrays()
            )
            with self._windowing:
                held, now_ns = self._windows.held(), self._clock_ns()
                trials = self.canaries.held()
            with self._stateful:  # after the windows: it names every key that they count
                naming = self.naming.held()
                objectives = self.objectives.held() if self.objectives else _nothing
        when = np.array([now_ns, complete], np.int64)
        return (
            judged
            | under("canaries", trials())
            | under("naming", naming())
            | under("objectives", objectives())
            | under("windows", held.arrays())
            | {"when": when}
        )

    def _restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        scattered({"judge": self._judge, "deployments": self.deployments, "why": self.why}, kept)
        self.canaries.restore(part("canaries", kept))
        if self.objectives and (watched := part("objectives", kept)):
            self.objectives.restore(watched)
        self.panorama.restore(part("panorama", kept), self._open_findings())
        saved_ns, complete = (int(number) for number in kept["when"])
        away_ns = max(0, self._clock_ns() - saved_ns)
        self._windows.restore(part("windows", kept), away_ns=away_ns, complete=bool(complete))
        self._templates = Templates.of(self._judge.carriers(), self._row_detectors)

    # --- while it runs -------------------------------------------------------------------------------------------------

    def adopt(
        self, settings: Detection, limits: Limits, canary: Canary | None = None, dora: Dora | None = None
    ) -> None:
        """Judge by other settings from the next window on; window, half-life, slices, roles, keys and texts stay."""
        with self._judging, self._windowing:
            self._settings, self._limits = settings, limits
            self.naming.directory.most_slices = limits.slices_per_series
            self._windows.adopt(
                lateness_s=settings.lateness_s, future_s=limits.future_s, most_cells=limits.cells_per_window
            )
            self.canaries.adopt(canary or Canary(), limits)
            self.deployments.settings = dora or Dora()
            self.why.adopt(limits.explained_rows)
            self._judge.adopt(settings.false_alarms_per_day, settings.learned_after)
            for detector in self._detectors:
                detector.learning = settings.learning
            with self._stateful:
                self.objectives = self._watch_of(settings, self.objectives)
            self.panorama.learning = settings.learning

    def _watch_of(self, settings: Detection, before: Watch | None) -> Watch | None:
        """Return who watches the objectives, with what was counted before; None where there are none."""
        if not settings.objectives:
            return None
        watch = Watch(settings.objectives, self.naming.roles, self.naming.directory, settings.false_alarms_per_day)
        if before:
            watch.restore(before.held()())
        return watch

    # --- what it says of itself ----------------------------------------------------------------------------------------

    def spent(self) -> dict[tuple[str, str], float]:
        """Return the seconds each detector took, by its name and by work: `rows` or `windows`."""
        return self._judge.spent.seconds()

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """How each objective stood when it was last judged."""
        return self.objectives.standings if self.objectives else ()


def _nothing() -> Arrays:
    return {}


def _has_series(rows: Rows) -> bool:
    return bool((rows.keys[0] >= 0).any())


__all__ = ["Pipeline", "Processed", "UndecodableError"]
