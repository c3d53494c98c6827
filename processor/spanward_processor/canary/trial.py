"""One trial: a canary beside the stable version, from the first windows with both to a decision, or until one has vanished."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spanward_processor.canary.clients import Clients
from spanward_processor.canary.columns import (
    ERRORS,
    FIRST_DECISION,
    FIRST_TAIL,
    LATENCY,
    MOST_DECISIONS,
    SCORE,
    SCORE_SPREAD,
    TAILS,
    Served,
    Stratum,
    clients_of,
    counted,
    decisions_of,
    latency_of,
    stratum_of,
)
from spanward_processor.canary.guards import Allowed, standings_of
from spanward_processor.canary.pairs import Pairs
from spanward_processor.canary.settings import Canary
from spanward_processor.canary.sums import Sums
from spanward_processor.canary.verdict import Decision, Standing, Verdict
from spanward_processor.features import FEATURES, Aspect, show_seconds
from spanward_processor.findings import Series
from spanward_processor.kept import Arrays, from_json, gathered, scattered, to_json
from spanward_processor.windows.window import Window

_SECOND_NS: Final = 1_000_000_000
_BLOCK_NS: Final = 10 * _SECOND_NS
_FEWEST: Final = 3.0  # rows of each arm that make a stratum
_LONGEST_NS: Final = 600 * _SECOND_NS  # a stratum is closed at the latest
_FADE: Final = 0.999  # by which older latencies count less, per window: some ten minutes
_OVER_NS: Final = 86_400 * _SECOND_NS  # without a request of either version, after which their trial is over
_MISSED: Final = 10.0  # requests that a version must have missed before it has vanished
_LEAST_SHARE: Final = 0.01  # of a version of which nothing was seen
_FEWEST_FOR_TAILS: Final = 200.0


class Trial:
    """A canary beside the stable version.

    Args:
        arms: Seats of the stable version and of the canary.
        stable: The version to go back to.
        canary: The version on trial.
        began_ns: Now, event time in nanoseconds.
    """

    def __init__(self, arms: tuple[int, int], stable: Series, canary: Series, began_ns: int) -> None:
        self.arms = arms
        self.stable = stable
        self.canary = canary
        self.began_ns = began_ns
        self.decision = Decision.CONTINUE
        self.decided_ns = 0
        self.pairs = Pairs()
        self._sums = Sums()
        self._clients = Clients()
        self._pending = Stratum.empty()
        self._pending_from_ns = 0
        self._latency = np.zeros(0, np.int64), np.zeros(0)
        self._decisions: list[int] = []
        self._tails: list[float] = []
        self._first_ns = [0, 0]  # first and last window in which each arm was seen
        self._last_ns = [began_ns, began_ns]
        self._seen = [0.0, 0.0]
        self._without = [0.0, 0.0]  # rows of the other arm since an arm was last seen
        self.at_ns = began_ns

    # --- hear ----------------------------------------------------------------------------------------------------------

    def hear(self, window: Window, settings: Canary) -> None:
        """Take in one window."""
        self.at_ns = window.end_ns
        served = Served.of(window.cells, self.arms)
        made = stratum_of(served, self._tails or [math.inf] * len(TAILS), self._decisions, self._sums.mean(SCORE))
        for arm in (0, 1):
            rows = made.arm_rows(arm)
            self._without[arm] = 0.0 if rows else self._without[arm] + made.arm_rows(1 - arm)
            if rows:
                self._first_ns[arm] = self._first_ns[arm] or window.start_ns
                self._last_ns[arm] = window.end_ns
                self._seen[arm] += rows
        if not self._first_ns[1]:
            return
        self._clients.add(*clients_of(served))
        block = (window.start_ns - self._first_ns[1]) // _BLOCK_NS
        made = made.only(ERRORS) if self._is_cold(window, settings) else made
        self._pending = self._pending + made if self._pending_from_ns else made
        self._pending_from_ns = self._pending_from_ns or window.start_ns
        enough = min(self._pending.arm_rows(0), self._pending.arm_rows(1)) >= _FEWEST
        if enough or window.end_ns - self._pending_from_ns >= _LONGEST_NS:
            if block > self._sums.block:
                self._sums.begin_block(int(block) if self._sums.block >= 0 else 0)
            self._sums.add(self._pending)
            self._clients.show(self._pending)
            self._pending, self._pending_from_ns = Stratum.empty(), 0
        self._look_ahead(served)

    def _is_cold(self, window: Window, settings: Canary) -> bool:
        return window.start_ns - self._first_ns[1] < settings.warmup_s * _SECOND_NS

    def _look_ahead(self, served: Served) -> None:
        """Choose from what both arms have shown which requests the following windows call slow, and which decisions count."""
        bins, counts = latency_of(served)
        every, summed = self._latency[0], _FADE * self._latency[1]
        places = np.searchsorted(every, bins)
        if bins.size and (not every.size or not np.array_equal(every[places % every.size], bins)):
            wider = np.union1d(every, bins)
            every, summed = wider, counted(np.searchsorted(wider, every), summed, wider.size)
            places = np.searchsorted(every, bins)
        summed = summed + counted(places, counts, every.size)
        self._latency = every, summed
        running = np.cumsum(summed)
        if running.size and running[-1] >= _FEWEST_FOR_TAILS and not self._pending_from_ns:
            edges = every[np.minimum(np.searchsorted(running, np.array(TAILS) * running[-1]), every.size - 1)]
            self._tails = [float(edge) for edge in edges]
        room = MOST_DECISIONS - len(self._decisions)
        known = set(self._decisions)
        self._decisions += [code for code in decisions_of(served) if code not in known][:room]

    # --- judge ---------------------------------------------------------------------------------------------------------

    def judge(self, settings: Canary, text: Callable[[int], str]) -> Verdict:
        """Return what is known now; a decision to roll back is never taken back."""
        standings, log10_e = self._standings(settings, text)
        threshold = -math.log10(settings.alpha)
        held = self._holds(settings)
        if self.decision is not Decision.ROLL_BACK and not held:
            if log10_e >= threshold:
                self.decision, self.decided_ns = Decision.ROLL_BACK, self.at_ns
            elif self.decision is Decision.CONTINUE and self._may_promote(standings, log10_e, settings):
                self.decision, self.decided_ns = Decision.PROMOTE, self.at_ns
        return Verdict(
            stable=self.stable,
            canary=self.canary,
            decision=self.decision,
            reason=self._reason(standings, held),
            at_ns=self.at_ns,
            began_ns=self.began_ns,
            decided_ns=self.decided_ns,
            log10_e=log10_e,
            log10_threshold=threshold,
            requests=(round(self._seen[0]), round(self._seen[1])),
            clients=self._clients.in_arms(),
            standings=standings,
            vanished=self.vanished(settings),
        )

    def _standings(self, settings: Canary, text: Callable[[int], str]) -> tuple[tuple[Standing, ...], float]:
        if self._sums.block < 0:
            return (), 0.0
        dispersion = self._sums.dispersion()
        scatter = dispersion * self._sums.variance / np.maximum(self._sums.weight, 1e-12)
        allowed = Allowed(self._clients.allowance(scatter), dispersion, lambda column: self._name(column, text))
        return standings_of(self._sums, settings, allowed)

    def _name(self, column: int, text: Callable[[int], str]) -> str:
        """Return what a tail, a decision or the spread of scores is called; nothing for other columns."""
        if column == SCORE_SPREAD:
            return "distance of scores from their mean"
        if FIRST_TAIL <= column < FIRST_DECISION and self._tails:
            feature, edge = FEATURES[Aspect.LATENCY], int(self._tails[column - FIRST_TAIL])
            return f"share of requests slower than {show_seconds(feature.value(edge))}"
        if column >= FIRST_DECISION:
            return f"share of decision {text(self._decisions[column - FIRST_DECISION])!r}"
        return ""

    def vanished(self, settings: Canary) -> str:
        """Return the version that has vanished while the other goes on; else nothing.

        It must have been expected to serve some requests meanwhile, by its share of those before.
        """
        for arm, series in ((1, self.canary), (0, self.stable)):
            share = self._seen[arm] / max(self._seen[1 - arm], 1.0) if self._seen[arm] else _LEAST_SHARE
            long = self.at_ns - self._last_ns[arm] >= settings.vanished_s * _SECOND_NS
            if long and self._without[arm] * share >= _MISSED:
                return series.version
        return ""

    def is_over(self) -> bool:
        """Return whether neither version has had a request for so long that nobody waits for a verdict any more."""
        return self.at_ns - max(self._last_ns) >= _OVER_NS

    def _holds(self, settings: Canary) -> str:
        """Return why nothing may be decided yet; nothing where it may."""
        if gone := self.vanished(settings):
            return f"{gone} has vanished, no request of it for {settings.vanished_s:.0f} s"
        for arm, series in ((1, self.canary), (0, self.stable)):
            if not self._seen[arm]:
                return f"{series.version} has had no request yet"
        if self._seen[1] < settings.min_requests:
            return f"{self.canary.version} has had {self._seen[1]:.0f} requests of {settings.min_requests}"
        clients = self._clients.in_arms()
        if 0 < clients[1] < settings.min_clients and self._clients.stay():
            return (
                f"{self.canary.version} serves {clients[1]} of {settings.min_clients} clients, each of which stays with one "
                "version: what they do differently cannot be told from what it does differently"
            )
        return ""

    def _may_promote(self, standings: tuple[Standing, ...], log10_e: float, settings: Canary) -> bool:
        return (
            self._sums.rows[LATENCY, 1] >= settings.promote_requests
            and log10_e < 0.5
            and bool(standings)
            and all(one.safe for one in standings)
        )

    def _reason(self, standings: tuple[Standing, ...], held: str) -> str:
        names = f"{self.canary.version} against {self.stable.version}"
        if self.decision is Decision.ROLL_BACK:
            worst = standings[0]
            return f"{names}: {worst.what} {worst.canary} instead of {worst.stable} ({worst.interval})"
        if self.decision is Decision.PROMOTE:
            return f"{names}: surely no worse than the tolerances in {', '.join(one.guard for one in standings)}"
        return f"{names}: {held or 'no more is known than that they may be alike'}"

    # --- over a restart ------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        rest = {
            "arms": self.arms,
            "series": [(one.service, one.model, one.version) for one in (self.stable, self.canary)],
            "began_ns": self.began_ns,
            "decision": self.decision,
            "decided_ns": self.decided_ns,
            "decisions": self._decisions,
            "tails": self._tails,
            "first_ns": self._first_ns,
            "last_ns": self._last_ns,
            "seen": self._seen,
            "without": self._without,
            "at_ns": self.at_ns,
        }
        bins, counts = self._latency
        return gathered({"sums": self._sums, "clients": self._clients, "pairs": self.pairs}) | {
            "bins": bins.copy(),
            "counts": counts.copy(),
            "rest": from_json(rest),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> "Trial":
        """Return the trial that gave these arrays; the stratum that was open is left out."""
        rest = to_json(arrays["rest"])
        stable, canary = (Series(*parts) for parts in rest["series"])
        trial = cls((rest["arms"][0], rest["arms"][1]), stable, canary, rest["began_ns"])
        scattered({"sums": trial._sums, "clients": trial._clients, "pairs": trial.pairs}, arrays)
        trial.decision, trial.decided_ns = Decision(rest["decision"]), rest["decided_ns"]
        trial.at_ns = rest["at_ns"]
        trial._decisions, trial._tails = rest["decisions"], rest["tails"]
        trial._first_ns, trial._last_ns = rest["first_ns"], rest["last_ns"]
        trial._seen, trial._without = rest["seen"], rest["without"]
        trial._latency = arrays["bins"], arrays["counts"]
        return trial
