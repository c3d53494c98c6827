"""Synthetic inference traffic with a known truth: rows as the processor derives them, without the network."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanward import semconv
from spanward_processor.decode import decode
from spanward_processor.features import FEATURES, Aspect, Rows
from spanward_processor.kernels.binning import exponential_bins, unit_bins
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import MISSING
from spanward_processor.keys import KeyDirectory
from spanward_processor.roles import role_table
from spanward_processor.texts import Texts
from spanward_processor.windows.event_time import Windows
from spanward_processor.windows.window import Window

SECOND_NS: Final = 1_000_000_000
START_NS: Final = 1_700_000_000 * SECOND_NS
DECISIONS: Final = ("billing", "delivery", "technical", "account")
RARE: Final = "escalation"
CHANNELS: Final = ("web", "mobile", "email", "partner-feed")

_CHANNEL_SHARES: Final = (0.35, 0.25, 0.2, 0.2)
_CLIENTS: Final = 30
_MEDIAN_LENGTH: Final = math.exp(3.5)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the world behaves while a window passes.

    Args:
        rate_per_s: Mean requests per second.
        longer: Factor on input length; latency follows.
        error_ratio: Share of failing requests.
        flipped: Share of the first decision's rows, in the last channel, that get the second decision instead.
        flood_per_s: Requests per second of one client that repeats itself.
        slower: Factor on latency.
        surer: Below one the score falls: it is raised to the power of one by this.
        strangers_per_s: Requests per second of clients that come once and never again.
        contrary: Whether latency falls with the input's length instead of following it.
        surging: Share of all rows whose decision becomes one that was never seen.
    """

    rate_per_s: float = 50.0
    longer: float = 1.0
    error_ratio: float = 0.01
    flipped: float = 0.0
    flood_per_s: float = 0.0
    slower: float = 1.0
    surer: float = 1.0
    strangers_per_s: float = 0.0
    contrary: bool = False
    surging: float = 0.0


QUIET: Final = Behaviour()
DISTURBANCES: Final[dict[str, Behaviour]] = {
    "longer inputs": replace(QUIET, longer=6.0),
    "failures": replace(QUIET, error_ratio=0.5),
    "poisoned channel": replace(QUIET, flipped=1.0),
    "flood": replace(QUIET, flood_per_s=200.0),
    "strangers": replace(QUIET, strangers_per_s=10.0),
    "surge": replace(QUIET, surging=0.2),
    "contrary latency": replace(QUIET, contrary=True),
    "silence": replace(QUIET, rate_per_s=0.5),
}
"""Gross changes; each detector must see at least one."""


class Traffic:
    """One model behind four channels, thirty clients, four decisions.

    Args:
        seed: Seed of all randomness.
        models: How many such models share the traffic.
        window_s: Length of a window, seconds.
    """

    def __init__(self, seed: int, *, models: int = 1, window_s: float = 2.0) -> None:
        self._rng = np.random.default_rng(seed)
        self._window_s = window_s
        self._second = 0.0
        self._strangers = _CLIENTS + 2  # the next one that was never seen
        roles = role_table(key=bytes(16))
        batch = decode(_registration(models), roles)
        texts = Texts(list(range(len(roles.texts))), 65_536)
        texts.learn(batch)
        self.directory = KeyDirectory(roles, texts, most_keys=100_000, most_slices=64)
        self.text = texts.__getitem__
        self._keys = self.directory.assign(batch).reshape(2, models, len(CHANNELS), -1)
        self._decisions = batch.codes[roles.text("decision")].astype(np.int64)[: len(DECISIONS) + 1]

    def keys_of(self, model: int) -> Flags:
        """Return (k,) bool which keys are of one of the models."""
        of = np.zeros(len(self.directory), bool)
        of[self._keys[:, model].ravel()] = True
        return of

    def rows(self, behaviour: Behaviour, model: int | None = None) -> Rows:
        """Return the rows of the next window's time, all of one of the models if it is given."""
        flood = int(self._rng.poisson(behaviour.flood_per_s * self._window_s))
        strangers = int(self._rng.poisson(behaviour.strangers_per_s * self._window_s))
        count = int(self._rng.poisson(behaviour.rate_per_s * self._window_s)) + flood + strangers
        bins = np.full((len(FEATURES), count), MISSING, np.int64)
        lengths = np.round(self._rng.lognormal(math.log(_MEDIAN_LENGTH), 0.5, count) * behaviour.longer)
        followed = _MEDIAN_LENGTH**2 / lengths if behaviour.contrary else lengths
        latencies = (0.002 + followed * 0.0004 * self._rng.lognormal(0.0, 0.3, count)) * behaviour.slower
        channels = self._rng.choice(len(CHANNELS), count, p=_CHANNEL_SHARES)
        decisions = self._rng.choice(len(DECISIONS), count, p=(0.4, 0.3, 0.2, 0.1))
        flips = (channels == len(CHANNELS) - 1) & (decisions == 0) & (self._rng.random(count) < behaviour.flipped)
        decisions[flips] = 1
        if behaviour.surging:
            decisions[self._rng.random(count) < behaviour.surging] = len(DECISIONS)
        clients = self._rng.choice(_CLIENTS, count) + 1
        clients[:flood] = _CLIENTS + 1
        clients[flood : flood + strangers] = self._strangers + np.arange(strangers)
        self._strangers += strangers
        repeats = (self._rng.random(count) < 0.01).astype(np.int64)
        repeats[:flood] = 1
        bins[Aspect.RATE] = 0
        bins[Aspect.LATENCY] = exponential_bins(latencies)
        bins[Aspect.ERROR] = self._rng.random(count) < behaviour.error_ratio
        bins[Aspect.INPUT_SIZE] = exponential_bins(lengths)
        bins[Aspect.SCORE] = unit_bins(self._rng.beta(8, 1.5, count) ** (1 / behaviour.surer))
        bins[Aspect.DECISION] = self._decisions[decisions]
        bins[Aspect.REPEAT] = repeats
        bins[Aspect.CLIENT] = clients
        return Rows(self._drawn(channels, model), bins, self._times(count), np.zeros((count, 2), np.uint64))

    def _drawn(self, channels: Ints, model: int | None) -> Ints:
        models = self._rng.integers(0, self._keys.shape[1], channels.size)
        return self._keys[:, models if model is None else model, channels, 0]

    def _times(self, count: int) -> Ints:
        seconds: Floats = self._second + np.sort(self._rng.random(count)) * self._window_s
        self._second += self._window_s
        return START_NS + (seconds * SECOND_NS).astype(np.int64)

    def skip(self, seconds: float) -> None:
        """Let time pass in which nobody looks."""
        self._second += seconds

    def windows(self, behaviour: Behaviour, count: int, model: int | None = None) -> Iterator[Window]:
        """Yield the next windows, each counted from rows."""
        for _ in range(count):
            yield self.count(self.rows(behaviour, model))

    def count(self, rows: Rows, pieces: Sequence[int] = ()) -> Window:
        """Return one window of rows that was counted in pieces, each in a shard of its own.

        Args:
            rows: Rows of one window's time.
            pieces: Where to cut; no cut gives one shard.
        """
        cuts = [0, *pieces, len(rows)]
        shards = [self._count_piece(rows, first, last) for first, last in pairwise(cuts)]
        merged = shards[0]
        for shard in shards[1:]:
            merged += shard
        return merged

    def _count_piece(self, rows: Rows, first: int, last: int) -> Window:
        start = int(START_NS + round((self._second - self._window_s) * SECOND_NS))
        windows = Windows(
            width_s=self._window_s,
            lateness_s=0.0,
            future_s=1e9,
            most_cells=1_000_000,
            clock_ns=lambda: START_NS,
            monotonic_ns=lambda: 0,
        )
        piece = Rows(
            np.ascontiguousarray(rows.keys[:, first:last]),
            np.ascontiguousarray(rows.bins[:, first:last]),
            rows.time_ns[first:last],
            rows.traces[first:last],
        )
        windows.add(piece, np.ones(last - first))
        closed = windows.close(every=True)
        return closed[0] if closed else Window.empty(start, start + int(self._window_s * SECOND_NS))


def _registration(models: int) -> bytes:
    """Return a request that names every model, channel and decision once."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key=semconv.SERVICE_NAME).value.string_value = "support"
    scope = resource.scope_spans.add()
    for model in range(models):
        for channel in CHANNELS:
            for decision in (*DECISIONS, RARE):
                span = scope.spans.add(end_time_unix_nano=START_NS)
                span.attributes.add(key=semconv.MODEL_NAME).value.string_value = f"router-{model}"
                span.attributes.add(key=semconv.MODEL_VERSION).value.string_value = "1.0"
                span.attributes.add(key=semconv.CHANNEL).value.string_value = channel
                span.attributes.add(key=semconv.DECISION).value.string_value = decision
    return request.SerializeToString()


__all__ = ["CHANNELS", "DECISIONS", "DISTURBANCES", "QUIET", "RARE", "START_NS", "Behaviour", "Traffic"]
