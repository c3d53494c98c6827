"""Counting in shards and adding up gives what counting in one place gives.

The same encoded spans are counted by 1, 4 and 64 shards. Which shard gets a row is chance, and a tenth of the rows come one window
late and in any order. Windows of the shards are added and judged. Texts and keys are named in one place, as the owner of a key
would name them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final

import numpy as np

from spanward_processor.configuration.config import Config
from spanward_processor.configuration.settings import Detection
from spanward_processor.decode import decode
from spanward_processor.detectors import panel
from spanward_processor.detectors.wording import quantile
from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_least, at_most, percent
from spanward_processor.evaluate.intervals import over_seeds, share
from spanward_processor.features import FEATURES, Aspect, Rows, empty_memory, rows_of
from spanward_processor.findings import State
from spanward_processor.judging.judge import Judge
from spanward_processor.kernels.binning import SCALE
from spanward_processor.kernels.jit import Flags, Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.keys import KeyDirectory
from spanward_processor.roles import role_table
from spanward_processor.testing.encoding import Columns, Encoder
from spanward_processor.testing.simulation import Clock
from spanward_processor.testing.worlds import SECOND_NS, START_NS, Incident, World, classifier
from spanward_processor.texts import Texts
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.event_time import Windows
from spanward_processor.windows.window import Window

SHARDS: Final = (4, 64)
WINDOWS: Final = 200
SHORT_WINDOWS: Final = 80
ALPHA: Final = 2 ** (0.5 / SCALE) - 1  # relative error of the middle of a bin, 4.4 %
QUANTILES: Final = (0.01, 0.5, 0.9, 0.99, 0.999)
_RATE_PER_S: Final = 40.0
_LATE: Final = 0.1
_INCIDENT_AT: Final = 0.75  # of the time
_SLOWER: Final = 3.0
_CHANNEL: Final = 1
_SERIES: Final = 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """What passed by.

    Args:
        rows: Of each window's time, in order.
        seconds: Exact durations of the same rows.
        directory: Names of the keys.
        texts: Code to text.
        settings: How all of it is judged.
    """

    rows: tuple[Rows, ...]
    seconds: tuple[Floats, ...]
    directory: KeyDirectory
    texts: Texts
    settings: Detection


def recorded(windows: int, seed: int) -> Recorded:
    """Return some windows of a classifier, one channel of which becomes slow, decoded from encoded requests."""
    config = Config()
    settings, limits = config.detection.as_settings(), config.limits.as_settings()
    rng = np.random.default_rng(seed)
    incident = Incident(_INCIDENT_AT * windows * settings.window_s, channel=_CHANNEL, slower=_SLOWER)
    world = World(classifier(_RATE_PER_S), rng, settings.window_s, incident)
    encoder = Encoder("simulated", "classifier", "1.0", rng)
    roles = role_table(settings.slices, key=bytes(16))
    texts = Texts(list(range(len(roles.texts))), limits.texts)
    directory = KeyDirectory(roles, texts, most_keys=limits.keys, most_slices=limits.slices_per_series)
    recent = empty_memory(1 << 14)
    every: list[Columns] = [world.calls(step) for step in range(windows)]
    rows: list[Rows] = []
    for calls in every:
        batch = decode(encoder.request(calls), roles)
        texts.learn(batch)
        rows.append(rows_of(batch, directory.assign(batch), roles, recent))
    seconds = tuple((calls.end_ns - calls.start_ns) / SECOND_NS for calls in every)
    return Recorded(tuple(rows), seconds, directory, texts, settings)


def merged(record: Recorded, shards: int, rng: np.random.Generator) -> list[Window]:
    """Return the windows of all shards, added up.

    Args:
        record: What passed by.
        shards: How many count it; one gets all of it in order and in time.
        rng: Who gets what, and what comes late.
    """
    clock, settings = Clock(), record.settings
    counting = [_counting(settings, clock) for _ in range(shards)]
    awaited: list[tuple[Rows, Ints]] = []
    for step, rows in enumerate(record.rows):
        clock.now_ns = START_NS + round((step + 1) * settings.window_s * SECOND_NS)
        owners = rng.integers(0, shards, len(rows))
        late = (rng.random(len(rows)) < _LATE) & (shards > 1)
        _deliver(counting, [*awaited, _shuffled(rows, owners, ~late, rng)])
        awaited = [_shuffled(rows, owners, late, rng)]
    _deliver(counting, awaited)
    parts: dict[int, list[Window]] = {}
    for windows in counting:
        for window in windows.close(every=True):
            parts.setdefault(window.start_ns, []).append(window)
    return [reduce(add, parts[start_ns]) for start_ns in sorted(parts)]


def _counting(settings: Detection, clock: Clock) -> Windows:
    """Return the open windows of one shard."""
    return Windows(
        width_s=settings.window_s,
        lateness_s=settings.lateness_s,
        future_s=60.0,
        most_cells=1_000_000,
        clock_ns=clock,
        monotonic_ns=clock,
    )


def _deliver(counting: Sequence[Windows], coming: Sequence[tuple[Rows, Ints]]) -> None:
    """Give each shard the rows that it owns."""
    for rows, owners in coming:
        for shard, windows in enumerate(counting):
            mine = _chosen(rows, owners == shard)
            windows.add(mine, np.ones(len(mine)))


def _shuffled(rows: Rows, owners: Ints, chosen: Flags, rng: np.random.Generator) -> tuple[Rows, Ints]:
    order = rng.permutation(np.flatnonzero(chosen))
    return _chosen(rows, order), owners[order]


def _chosen(rows: Rows, chosen: Flags | Ints) -> Rows:
    return Rows(
        np.ascontiguousarray(rows.keys[:, chosen]),
        np.ascontiguousarray(rows.bins[:, chosen]),
        rows.time_ns[chosen],
        rows.traces[chosen],
    )


def findings(record: Recorded, windows: Sequence[Window]) -> dict[tuple[str, str], int]:
    """Return the findings that open, as series and aspect, with the number of their window."""
    settings = record.settings
    decay = float(0.5 ** (settings.window_s / settings.half_life_s))
    judge = Judge(
        panel(settings.learning, decay),
        record.directory,
        record.texts.__getitem__,
        window_s=settings.window_s,
        false_alarms_per_day=settings.false_alarms_per_day,
    )
    return {
        (str(change.series), change.aspect): number
        for number, window in enumerate(windows)
        for change in judge.hear(window)
        if change.state is State.OPENED
    }


def same_cells(one: Cells, other: Cells) -> bool:
    """Return whether two bags hold the same counts."""
    return all(
        np.array_equal(mine, theirs)
        for mine, theirs in ((one.streams, other.streams), (one.bins, other.bins), (one.counts, other.counts))
    )


def worst_quantile_error(record: Recorded, windows: Sequence[Window]) -> float:
    """Return the largest relative error of a window's quantiles of the series' latency, against the exact durations."""
    worst, feature = 0.0, FEATURES[Aspect.LATENCY]
    for window, seconds in zip(windows, record.seconds, strict=True):
        cells, exact = window.cells.stream(_SERIES << FEATURE_BITS | Aspect.LATENCY), np.sort(seconds)
        for part in QUANTILES:
            place = max(int(np.ceil(part * exact.size)) - 1, 0)
            worst = max(worst, abs(quantile(cells, feature, part) / float(exact[place]) - 1))
    return worst


def measure(effort: Effort) -> Iterator[Line]:
    """Count in one place and in shards; see `Evaluation`."""
    windows = SHORT_WINDOWS if effort.short else WINDOWS
    errors: list[float] = []
    equal, alike, opened = (dict.fromkeys(SHARDS, 0) for _ in range(3))
    for seed in effort.seeds:
        record, rng = recorded(windows, seed), np.random.default_rng([seed, 1])
        alone = merged(record, 1, rng)
        found = findings(record, alone)
        for shards in SHARDS:
            together = merged(record, shards, rng)
            pairs = zip(alone, together, strict=True) if len(alone) == len(together) else ()
            equal[shards] += sum(same_cells(one.cells, other.cells) for one, other in pairs)
            errors.append(worst_quantile_error(record, together))
            others = findings(record, together)
            opened[shards] += max(len(found), len(others))
            alike[shards] += sum(abs(others[claim] - at) <= 1 for claim, at in found.items() if claim in others)
    for shards in SHARDS:
        yield at_least(
            f"{shards} shards: windows with equal counts",
            share(equal[shards], windows * len(effort.seeds)),
            1.0,
            percent,
        )
        yield at_least(
            f"{shards} shards: findings that open within one window of the same",
            share(alike[shards], opened[shards]),
            1.0,
            percent,
        )
    yield at_most("largest relative error of a quantile", over_seeds(errors), ALPHA, percent)


EVALUATION: Final = Evaluation(
    name="merge_law",
    shows="1, 4 and 64 shards, shuffled and late: equal counts, quantiles within their stated error, the same findings.",
    measure=measure,
    first_seed=800,
)
