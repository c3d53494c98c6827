"""All trials under way, fed by windows of their own: short ones, of the rows of models of which two versions serve.

While one version serves, nothing is counted here: a request costs one look at how many series there are.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.canary.arms import Versions
from spanward_processor.canary.columns import GROUPS
from spanward_processor.canary.seats import MOST_SEATS, NO_SEAT, Seats
from spanward_processor.canary.settings import Canary
from spanward_processor.canary.telling import finding_of, flipped
from spanward_processor.canary.trial import Trial
from spanward_processor.canary.verdict import Decision, Verdict
from spanward_processor.configuration.settings import Limits
from spanward_processor.features import Aspect, Rows
from spanward_processor.findings import Finding, Severity, State, as_plain, from_plain
from spanward_processor.kept import Arrays, from_json, part, to_json, under
from spanward_processor.keys import KeyDirectory
from spanward_processor.windows.event_time import Windows
from spanward_processor.windows.window import Window

_SECOND_NS: Final = 1_000_000_000
_MOST_TRIALS: Final = 32
_LEAST_SKEW_NS: Final = _SECOND_NS  # between clocks of two versions; less is a matter of when batches are sent
_UNSEEN: Final = np.iinfo(np.int64).max  # in place of a time, where none was seen
_SKEW_NS: Final = 60 * _SECOND_NS  # how long a clock is believed to go as it went


class Canaries:
    """Trials of canaries.

    Args:
        settings: How versions are compared.
        directory: Names of the keys.
        text: Code to text.
        limits: What is kept at most.
        clock_ns: Returns the time of day, Unix nanoseconds.
        monotonic_ns: Returns a clock that never steps, nanoseconds.
    """

    def __init__(
        self,
        settings: Canary,
        directory: KeyDirectory,
        text: Callable[[int], str],
        limits: Limits,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.settings = settings
        self._directory = directory
        self._text = text
        self._clock_ns = clock_ns
        self._versions = Versions(directory)
        self._windows = Windows(
            width_s=settings.window_s,
            lateness_s=settings.lateness_s,
            future_s=limits.future_s,
            most_cells=limits.cells_per_window,
            clock_ns=clock_ns,
            monotonic_ns=monotonic_ns,
        )
        self._series = 0  # keys there were when new ones were last looked for
        self._seats = Seats()
        self._future_ns = int(limits.future_s * _SECOND_NS)
        # least time from end to arrival: this minute, the one before
        self._behind = np.full((2, MOST_SEATS), _UNSEEN, np.int64)
        self._behind_since_ns = 0
        self._trials: dict[tuple[int, int], Trial] = {}
        self._ended: list[tuple[int, int]] = []
        self._verdicts: tuple[Verdict, ...] = ()
        self._answers: dict[tuple[str, str], Verdict] = {}  # by model, the newest, also of a trial that has ended
        self._open: dict[tuple[int, int], Finding] = {}
        self._flipped: dict[tuple[int, int], Finding] = {}  # of the same inputs other decisions
        self._due: list[Verdict] = []
        self._lock = threading.Lock()  # of what is decided and not yet taken

    # --- rows ----------------------------------------------------------------------------------------------------------

    def take(self, rows: Rows) -> None:
        """Count the rows of models that have a trial; nobody else may call meanwhile."""
        if self._directory.named != self._series:
            self._series = self._directory.named
            self._notice()
        if not len(self._seats):
            return
        seats = self._seats.of(rows.keys[0])
        at = np.flatnonzero(seats != NO_SEAT)
        if not at.size:
            return
        seats, time_ns = seats[at], rows.time_ns[at]
        groups = rows.bins[Aspect.CLIENT, at] & (GROUPS - 1)
        chosen = Rows(
            keys=(seats * GROUPS + groups)[None],
            bins=np.ascontiguousarray(rows.bins[:, at]),
            time_ns=time_ns + self._ahead(seats, time_ns),
            traces=rows.traces[at],
        )
        self._windows.add(chosen, np.ones(at.size))
        if rows.inputs is not None:
            values = self._directory.values(rows.keys[1:, at])
            for trial in self._trials.values():
                arms = np.where(seats == trial.arms[0], 0, np.where(seats == trial.arms[1], 1, -1))
                trial.pairs.take(rows.inputs[at], chosen.bins[Aspect.DECISION], arms, values)

    def _ahead(self, seats: NDArray[np.int64], time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return by how much each row's clock is behind that of the version which is least behind.

        Versions run on different machines. A row that has just ended comes soon; so the least time from a row's end to its
        arrival is what its version's clock is behind ours.
        """
        now_ns = self._clock_ns()
        if now_ns - self._behind_since_ns >= _SKEW_NS:
            self._behind[1], self._behind[0] = self._behind[0], _UNSEEN
            self._behind_since_ns = now_ns
        np.minimum.at(self._behind[0], seats, now_ns - time_ns)
        behind = self._behind.min(0)
        seen = behind < _UNSEEN
        skew = np.where(seen, behind - behind[seen].min(), 0)
        return np.where(skew >= _LEAST_SKEW_NS, skew, 0)[seats]

    def _notice(self) -> None:
        """Begin a trial where a new version has come beside one that was long there."""
        now_ns = self._clock_ns()
        for key in self._versions.look(now_ns):
            if elder := self._versions.elder_than(key):
                self._begin(dict.fromkeys((*elder, key), 1.0), now_ns)

    def see(self, window: Window) -> None:
        """Begin trials of the versions that served in a window of the judge; nobody else may call meanwhile."""
        if not self._versions.any():
            return
        rows = dict(zip(window.rates.keys.tolist(), window.rates.counts.tolist(), strict=True))
        self._versions.serve(rows, window.end_ns)
        self._begin(rows, window.end_ns)

    def _begin(self, rows: dict[int, float], now_ns: int) -> None:
        pairs = self._versions.pairs(rows, self.settings) if self.settings.enabled else []
        for stable, canary in pairs:
            if (stable, canary) not in self._trials and (canary, stable) not in self._trials:
                seats = [self._seats.take(key, self._closed_ns) for key in (stable, canary)]
                if len(self._trials) < _MOST_TRIALS and NO_SEAT not in seats:
                    series = self._directory[stable], self._directory[canary]
                    self._trials[stable, canary] = Trial((seats[0], seats[1]), *series, now_ns)

    @property
    def _closed_ns(self) -> int:
        """Event time until which all windows are closed."""
        return self._windows.watermark_ns - self._windows.width_ns

    def spoken_of(self) -> NDArray[np.int64]:
        """Return (n,) int64 the series that have trials."""
        return np.array(sorted(self._on_trial), np.int64)

    @property
    def _on_trial(self) -> set[int]:
        return {key for pair in self._trials for key in pair}

    def evict(self, gone: NDArray[np.bool_]) -> None:
        """Let go of keys that have no trial, (k,) bool; they never come again. Nobody else may call meanwhile."""
        self._versions.evict(gone)

    # --- event time moves on -------------------------------------------------------------------------------------------

    def due(self, *, every: bool) -> list[Callable[[], Window]]:
        """Take out the windows whose time has come, each to be sorted out later; nobody else may call meanwhile."""
        for pair in self._ended:
            self._trials.pop(pair, None)
        self._ended.clear()
        if not self._trials:
            if len(self._seats):  # what is still open is about trials that have ended
                self._windows.due(every=True)
                self._seats = Seats()
                self._behind[:] = _UNSEEN
            return []
        left = self._seats.leave(self._on_trial, self._windows.now_ns + self._future_ns)
        self._behind[:, left] = _UNSEEN
        return [due.close for due in self._windows.due(every=every)]

    def hear(self, window: Window) -> tuple[Finding, ...]:
        """Let every trial take in one window; return what changed about the findings."""
        changes: list[Finding] = []
        verdicts: list[Verdict] = []
        for pair, trial in list(self._trials.items()):
            if pair in self._ended:
                continue
            before = trial.decision
            trial.hear(window, self.settings)
            verdict = trial.judge(self.settings, self._text)
            verdicts.append(verdict)
            changes += self._compare_pairs(pair, trial, verdict)
            if verdict.decision is Decision.ROLL_BACK and before is not Decision.ROLL_BACK:
                self._open[pair] = finding_of(verdict, State.OPENED)
                changes.append(self._open[pair])
                with self._lock:
                    self._due.append(verdict)
            if verdict.vanished or trial.is_over():
                self._ended.append(pair)
                changes += self._farewell(pair, verdict)
        self._verdicts = tuple(verdicts)
        for verdict in sorted(verdicts, key=lambda one: one.decision is Decision.ROLL_BACK):  # the worst is the answer
            self._answers[verdict.canary.service, verdict.canary.model] = verdict
        return tuple(changes)

    def _compare_pairs(self, pair: tuple[int, int], trial: Trial, verdict: Verdict) -> list[Finding]:
        """Say, once in a trial, that the new version decides otherwise on the same inputs."""
        flips = trial.pairs.flips(self.settings.alpha)
        if not flips or pair in self._flipped:
            return []
        self._flipped[pair] = flipped(verdict, flips, self._directory.slicing, self._text)
        return [self._flipped[pair]]

    def _farewell(self, pair: tuple[int, int], verdict: Verdict) -> list[Finding]:
        """Say that a version has vanished, or both have, and end what was said of the pair."""
        flips = self._flipped.pop(pair, None)
        ended = [replace(flips, state=State.RESOLVED, updated_ns=verdict.at_ns)] if flips else []
        return ended + self._departed(pair, verdict)

    def _departed(self, pair: tuple[int, int], verdict: Verdict) -> list[Finding]:
        """Say how a version has vanished: as it should, or in the middle of its trial."""
        if finding := self._open.pop(pair, None):
            gone = verdict.vanished != verdict.stable.version
            return [finding_of(verdict, State.RESOLVED, aspect=finding.aspect)] if gone else []
        if (
            verdict.vanished != verdict.canary.version
            or verdict.decision is Decision.PROMOTE
            or not verdict.requests[1]
        ):
            return []
        reason = f"{verdict.canary.version} vanished in the middle of its trial, after {verdict.requests[1]:,} requests"
        return [finding_of(verdict, State.OPENED, aspect="version", reason=reason, severity=Severity.WARNING)]

    @property
    def open_findings(self) -> tuple[Finding, ...]:
        """The findings that last."""
        return (*self._open.values(), *self._flipped.values())

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What is known of every canary, as of the newest window."""
        return self._verdicts

    @property
    def answers(self) -> tuple[Verdict, ...]:
        """What is known of each model's canary, or was when its trial ended; the newest first."""
        return tuple(sorted(self._answers.values(), key=lambda one: -one.at_ns))

    def ask(self, service: str, model: str) -> Verdict | None:
        """Return what is known of a model's canary, or was when its trial ended; None where there was no trial.

        Raises:
            KeyError: No such model was seen.
        """
        verdict = self._answers.get((service, model))
        if verdict is None and not self._versions.knows(service, model):
            raise KeyError(model)
        return verdict

    def take_due(self) -> tuple[Verdict, ...]:
        """Return the verdicts that ask for a roll-back, each once."""
        with self._lock:
            due, self._due = tuple(self._due), []
        return due

    def adopt(self, settings: Canary, limits: Limits) -> None:
        """Compare by other settings from the next window on; the length of a window stays."""
        self.settings = settings
        self._future_ns = int(limits.future_s * _SECOND_NS)
        if not settings.enabled:
            self._ended += self._trials
        self._windows.adopt(
            lateness_s=settings.lateness_s, future_s=limits.future_s, most_cells=limits.cells_per_window
        )

    # --- over a restart ------------------------------------------------------------------------------------------------

    def held(self) -> Callable[[], Arrays]:
        """Return what gives the arrays of this moment, as long as no trial hears anything; nobody else may call meanwhile."""
        windows = self._windows.held()
        with self._lock:
            due = [(verdict.stable.version, verdict.canary.version) for verdict in self._due]
        pairs = [pair for pair in self._trials if pair not in self._ended]
        rest = {
            "seats": self._seats.as_plain(),
            "pairs": pairs,
            "open": [(pair, as_plain(finding)) for pair, finding in self._open.items()],
            "flipped": [(pair, as_plain(finding)) for pair, finding in self._flipped.items()],
            "due": due,
        }

        def arrays() -> Arrays:
            made = under("windows", windows.arrays()) | {"rest": from_json(rest)}
            for number, pair in enumerate(pairs):
                made |= under(f"trial.{number}", self._trials[pair].arrays())
            return made

        return arrays

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return self.held()()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`. What the open windows held goes on in them."""
        rest = to_json(arrays["rest"])
        self._versions.forget_times()
        self._series = self._directory.named
        self._seats.restore(rest["seats"])
        for number, (stable, canary) in enumerate(rest["pairs"]):
            self._trials[stable, canary] = Trial.of(part(f"trial.{number}", arrays))
        self._open, self._flipped = (
            {(pair[0], pair[1]): from_plain(finding) for pair, finding in rest[name]} for name in ("open", "flipped")
        )
        self._windows.restore(part("windows", arrays), away_ns=0, complete=True)
        verdicts = [trial.judge(self.settings, self._text) for trial in self._trials.values()]
        self._due = [one for one in verdicts if [one.stable.version, one.canary.version] in rest["due"]]
        self._verdicts = tuple(verdicts)
