"""An hour of a trial at once: what `Trial.hear` adds up window by window, here with one array operation for all windows.

Only the adding up is a twin. Beginnings of a regression, scatter, clients, margins and evidence are the product's own
(`Sums.begin_block`, `Clients`, `standings_of`). The benchmark compares it with a real trial at every look of the first run.
"""

from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from scipy import signal

from benchmarks.quality.canary_traffic import Traffic
from spanward_processor.canary.clients import Clients
from spanward_processor.canary.clumps import by_chance
from spanward_processor.canary.columns import COLUMNS, ERRORS, EVENTS, FIRST_TAIL, GROUPS, LATENCY, TAILS
from spanward_processor.canary.guards import Allowed, standings_of
from spanward_processor.canary.sequential import ODDS, likelihood_of_odds
from spanward_processor.canary.settings import Canary
from spanward_processor.canary.sums import Sums
from spanward_processor.kernels.binning import SCALE, exponential_bins
from spanward_processor.kernels.jit import Flags, Floats, Ints

_USED: Final = (LATENCY, ERRORS, FIRST_TAIL, FIRST_TAIL + 1)
_filtered = cast("Any", signal).lfilter  # scipy ships no types
_BLOCK_S, _FEWEST, _LONGEST_S, _FADE, _FEWEST_FOR_TAILS = 10, 3, 600, 0.999, 200.0  # those of trial.py


@dataclass(frozen=True, slots=True)
class Strata:
    """Which windows belong together.

    Args:
        of_window: (s,) int64 stratum of each window.
        closed: (n,) int64 window that closes each.
        pending: (s,) bool whether one is open after a window.
    """

    of_window: Ints
    closed: Ints
    pending: Flags


def strata_of(rows: Ints) -> Strata:
    """Return the strata of windows; one is open until both arms have had enough.

    Args:
        rows: (s, 2) int64 requests by window and arm.
    """
    of_window, closed, pending = np.zeros(len(rows), np.int64), list[int](), np.zeros(len(rows), np.bool_)
    begin, stable, canary = 0, 0, 0
    for second, (one, other) in enumerate(rows.tolist()):
        stable, canary = stable + one, canary + other
        of_window[second] = len(closed)
        if min(stable, canary) >= _FEWEST or second + 1 - begin >= _LONGEST_S:
            closed.append(second)
            begin, stable, canary = second + 1, 0, 0
        else:
            pending[second] = True
    return Strata(of_window, np.array(closed), pending)


def edges_of(bins: Ints, second: Ints, strata: Strata) -> Floats:
    """Return (s, t) float64 above which bin a request of a window is slow, chosen from the windows before."""
    every: Ints = np.arange(int(bins.min()), int(bins.max()) + 1)
    places = bins - every[0]
    seconds = strata.pending.size
    counts = np.bincount(second * every.size + places, minlength=seconds * every.size).reshape(seconds, -1)
    running = np.cumsum(_filtered([1.0], [1.0, -_FADE], counts.astype(np.float64), axis=0), axis=1)
    edges = np.full((seconds, len(TAILS)), np.inf)
    fresh = ~strata.pending & (running[:, -1] >= _FEWEST_FOR_TAILS)
    newest = np.maximum.accumulate(np.where(fresh, np.arange(seconds), -1))[:-1]
    for number, quantile in enumerate(TAILS):
        found = every[np.minimum((running < quantile * running[:, -1:]).sum(1), every.size - 1)]
        edges[1:, number] = np.where(newest >= 0, found[np.maximum(newest, 0)], np.inf)
    return edges


class Hour:
    """The sums of a trial at any of its windows.

    Args:
        traffic: What happened.
        settings: How versions are compared.
    """

    def __init__(self, traffic: Traffic, settings: Canary) -> None:
        self._settings = settings
        first = int(traffic.second[traffic.canary].min())
        heard = traffic.second >= first
        self._first = first
        self._second = traffic.second[heard] - first
        self._arm = traffic.canary[heard].astype(np.int64)
        self._client = traffic.client[heard]
        seconds = int(self._second[-1]) + 1
        rows = np.bincount(self._second * 2 + self._arm, minlength=seconds * 2).reshape(-1, 2)
        self._strata = strata_of(rows)
        bins = exponential_bins(traffic.latency[heard])
        edges = edges_of(bins, self._second, self._strata)[self._second]
        self._values = np.stack(
            ((bins + 0.5) * (np.log(2) / SCALE), traffic.failed[heard].astype(float), *(bins[:, None] > edges).T)
        )
        self._warm = self._second >= settings.warmup_s
        self._stratum = self._strata.of_window[self._second]
        self._events = np.zeros((2, self._strata.closed.size, EVENTS.size, 2))  # rows and events of each stratum
        self._means = np.zeros((len(_USED), self._strata.closed.size + 1))
        self._running = self._added_up()
        self._by_group: tuple[tuple[Ints, Ints], Floats, Floats] | None = None

    def _added_up(self) -> dict[str, Floats]:
        """Return each sum before the first stratum and after each."""
        size = self._strata.closed.size
        parts = {name: np.zeros((size + 1, COLUMNS)) for name in ("excess", "variance", "weight")}
        parts |= {name: np.zeros((size + 1, COLUMNS, 2)) for name in ("rows", "totals")}
        parts["likelihood"] = np.zeros((size + 1, EVENTS.size, ODDS.size))
        for used, column in enumerate(_USED):
            chosen = np.ones(self._warm.size, np.bool_) if column == ERRORS else self._warm
            place, values = (self._stratum * 2 + self._arm)[chosen], self._values[used][chosen]
            rows = np.bincount(place, minlength=2 * size)[: 2 * size].reshape(-1, 2).astype(float)
            totals = np.bincount(place, values, 2 * size)[: 2 * size].reshape(-1, 2)
            squares = np.bincount(place // 2, values**2, size)[:size]
            every, both = rows.sum(1), (rows > 0).all(1)
            share = np.where(both, rows[:, 1] / np.maximum(every, 1), 0.0)
            mean = totals.sum(1) / np.maximum(every, 1)
            self._means[used, :size] = mean
            weight = np.where(both, rows[:, 1] * (1 - share), 0.0)
            spread = np.maximum(squares - every * mean * mean, 0.0) / np.maximum(every - 1, 1)
            parts["excess"][1:, column] = np.where(both, totals[:, 1] - rows[:, 1] * mean, 0.0)
            parts["variance"][1:, column], parts["weight"][1:, column] = weight * spread, weight
            parts["rows"][1:, column], parts["totals"][1:, column] = rows, totals
            if column in EVENTS:
                self._events[:, :, column - EVENTS[0]] = rows, totals
                events, of_canary = np.where(both, totals.sum(1), 0.0), np.where(both, totals[:, 1], 0.0)
                parts["likelihood"][1:, column - EVENTS[0]] = likelihood_of_odds(events, of_canary, share)
        return {name: np.cumsum(part, axis=0) for name, part in parts.items()}

    def looks(self, every_s: int) -> list[float]:
        """Return log10 of the evidence at each look; minus infinity where nothing may be decided for want of clients."""
        found: list[float] = []
        sums, begun = Sums(), 0
        blocks = self._strata.closed // _BLOCK_S
        seconds = self._strata.pending.size + self._first
        for look in range(every_s, seconds + 1, every_s):
            closed = int(np.searchsorted(self._strata.closed, look - self._first))
            while begun < closed:
                later = begun + int(np.searchsorted(blocks[begun:closed], sums.block, side="right"))
                if later >= closed:
                    break
                self._set(sums, later)
                sums.begin_block(int(blocks[later]) if sums.block >= 0 else 0)
                begun = later + 1
            begun = closed
            self._set(sums, closed)
            self._clump(sums, closed)
            found.append(self._judged(sums, look, closed))
        return found

    def _set(self, sums: Sums, stratum: int) -> None:
        for name, running in self._running.items():
            setattr(sums, name, running[stratum].copy())

    def _clump(self, sums: Sums, closed: int) -> None:
        """Give the clumps what all strata so far have shown."""
        rows, events = self._events[:, :closed]
        blocks = self._strata.closed[:closed] // _BLOCK_S
        starts = np.flatnonzero(np.diff(blocks, prepend=-1))
        summed = [np.add.reduceat(part, starts, axis=0) for part in (events, rows, rows * rows)]
        of_block = np.stack(summed)
        sums.clumps.restore(
            {
                "events": events.sum(0),
                "pairs": (events * (events - 1)).sum((0, 2)),
                "cross": (events[..., 0] * events[..., 1]).sum(0),
                "chance": by_chance(of_block[:, :-1]).sum(0),
                "block": of_block[:, -1].copy(),
            }
        )

    def _judged(self, sums: Sums, look: int, closed: int) -> float:
        if sums.block < 0:
            return 0.0
        clients = self._clients_at(look, closed)
        if 0 < clients.in_arms()[1] < self._settings.min_clients and clients.stay():
            return -np.inf
        dispersion = sums.dispersion()
        scatter = dispersion * sums.variance / np.maximum(sums.weight, 1e-12)
        allowed = Allowed(clients.allowance(scatter), dispersion, str)
        return standings_of(sums, self._settings, allowed)[1]

    def _clients_at(self, look: int, closed: int) -> Clients:
        clients = Clients()
        if not self._client.any():
            return clients
        if self._by_group is None:
            self._by_group = self._grouped()
        (codes, places), rows, beyond = self._by_group
        seen = int(np.searchsorted(self._second, look - self._first))
        counts = np.bincount(places[:seen], minlength=2 * codes.size).reshape(-1, 2).astype(float)
        there = counts.any(1)
        clients.restore(
            {
                "codes": codes[there],
                "counts": counts[there],
                "rows": rows[closed].copy(),
                "beyond": beyond[closed].copy(),
            }
        )
        return clients

    def _grouped(self) -> tuple[tuple[Ints, Ints], Floats, Floats]:
        """Return codes and places of clients, and rows and what is beyond the mean by group, before each stratum and after all."""
        codes, places = np.unique(self._client, return_inverse=True)
        strata = self._strata.closed.size
        rows, beyond = np.zeros((2, strata + 1, COLUMNS, 2, GROUPS))
        of_group = (self._stratum * 2 + self._arm) * GROUPS + self._client % GROUPS
        for used, column in enumerate(_USED):
            chosen = self._stratum < strata
            if column != ERRORS:
                chosen &= self._warm
            above = self._values[used][chosen] - self._means[used][self._stratum[chosen]]
            size = strata * 2 * GROUPS
            rows[1:, column] = np.bincount(of_group[chosen], minlength=size).reshape(strata, 2, GROUPS)
            beyond[1:, column] = np.bincount(of_group[chosen], above, size).reshape(strata, 2, GROUPS)
        return (codes, places * 2 + self._arm), rows.cumsum(0), beyond.cumsum(0)
