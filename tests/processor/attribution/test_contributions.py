"""Findings explained by slices: from what the windows counted, once a minute at most, within bounds."""

from dataclasses import replace

import numpy as np

from spanward import semconv
from spanward_processor.attribution.contributions import MOST_CELLS, Contribution, Contributions
from spanward_processor.attribution.words import REST_AS_USUAL
from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors import Baseline
from spanward_processor.features import Aspect, Rows
from spanward_processor.kernels.jit import Flags
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import CHANNELS, QUIET, Behaviour, Traffic
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.window import Window

SEED = 3
SERIES = 1
PARTNER = CHANNELS[-1]
WINDOW_S = 10.0
WINDOW_NS = 10_000_000_000


class Told:
    """A baseline that has learned, and what is told of windows after that.

    Args:
        usual: How the world behaves while it learns.
    """

    def __init__(self, usual: Behaviour = QUIET) -> None:
        print(f"seed {SEED}")
        self.traffic = Traffic(SEED, window_s=WINDOW_S)
        self.baseline = Baseline(Learning(windows=5, rows=50), 0.99)
        for window in self.traffic.windows(usual, 40):
            self.baseline.test(window, self.traffic.directory)
            self.baseline.learn(window, np.zeros(0, bool))
        self.asked = 0
        self.contributions = Contributions(self.traffic.directory, self._usual, self.traffic.text)

    def _usual(self, stream: int) -> Cells:
        self.asked += 1
        return self.baseline.usual(stream)

    def of(self, behaviour: Behaviour, aspect: Aspect, windows: int = 6, key: int = SERIES) -> Contribution | None:
        """Return what is told of the last of some windows."""
        *earlier, last = self.traffic.windows(behaviour, windows)
        for window in earlier:
            self.contributions.keep(window, np.zeros(0, bool))
        return self.contributions.of(last, key, aspect)

    def slice(self, channel: str) -> int:
        """Return the key of a channel."""
        keys = range(len(self.traffic.directory))
        return next(key for key in keys if (self.traffic.directory[key].slice or ("", ""))[1] == channel)

    def channel_of(self, rows: Rows) -> list[str]:
        """Return the channel of each row."""
        return [(self.traffic.directory[key].slice or ("", ""))[1] for key in rows.keys[1].tolist()]


def test_the_poisoned_channel_explains_the_shift() -> None:
    """A third of one class of one channel moved: that channel is named alone, with its share and evidence."""
    told = Told().of(replace(QUIET, flipped=0.33), Aspect.DECISION)

    assert told
    (share,) = told.slices
    assert (share.name, share.value) == ("spanward.channel", PARTNER)
    assert share.share > 0.8
    assert share.log10_e > 2
    assert told.reason.startswith(f"Explained by channel '{PARTNER}' (")


def test_what_all_channels_do_is_nobodys_doing() -> None:
    """Inputs are longer everywhere: no slice is named, and the sentence says so."""
    told = Told().of(replace(QUIET, longer=2.0), Aspect.INPUT_SIZE)

    assert told
    assert told.slices == ()
    assert told.looked_at == (semconv.CHANNEL,)
    assert told.reason.startswith("No single channel is the cause: ")


def test_a_finding_about_a_slice_is_not_told_that_everything_moved() -> None:
    """What the series as a whole did would contradict a finding that speaks of one channel."""
    story = Told()

    assert story.of(replace(QUIET, longer=2.0), Aspect.INPUT_SIZE, key=story.slice(PARTNER)) is None


def test_a_slice_is_not_explained_by_itself() -> None:
    """Asked about the poisoned channel nothing is added but that it is alone; asked about its series, the channel is named."""
    story = Told()
    poisoned = replace(QUIET, flipped=0.33)

    assert story.of(poisoned, Aspect.DECISION, key=story.slice(PARTNER)) == Contribution(REST_AS_USUAL, ())
    told = story.of(poisoned, Aspect.DECISION)
    assert told
    assert [share.value for share in told.slices] == [PARTNER]


def only(rows: Rows, chosen: Flags) -> Rows:
    """Return the chosen rows."""
    return Rows(
        np.ascontiguousarray(rows.keys[:, chosen]),
        np.ascontiguousarray(rows.bins[:, chosen]),
        rows.time_ns[chosen],
        rows.traces[chosen],
    )


def test_a_channel_that_only_sends_more_is_not_blamed() -> None:
    """One channel always decides otherwise and now sends most of the traffic: the mix changed, nobody behaves differently."""
    story = Told(replace(QUIET, flipped=1.0))
    rows = story.traffic.rows(replace(QUIET, flipped=1.0, rate_per_s=600.0))
    partner = np.array([channel == PARTNER for channel in story.channel_of(rows)])
    window = story.traffic.count(only(rows, partner | (np.arange(len(rows)) % 8 == 0)))

    told = story.contributions.of(window, SERIES, Aspect.DECISION)

    assert told
    assert told.slices == ()
    assert told.reason.startswith(f"The traffic mix changed, no slice behaves differently: channel '{PARTNER}' sends ")


def test_nothing_is_said_where_slices_say_nothing() -> None:
    """Quiet traffic has no explanation, and the request rate is not explained by slices."""
    story = Told()

    assert story.of(QUIET, Aspect.DECISION) is None
    assert story.of(replace(QUIET, rate_per_s=500.0), Aspect.RATE) is None


def test_an_answer_holds_for_a_minute_while_it_is_asked_for() -> None:
    """What lasts is computed once a minute; what comes back after a pause is computed anew."""
    story = Told()
    (window,) = story.traffic.windows(replace(QUIET, flipped=1.0), 1)

    def asked_at(second: int) -> bool:
        before = story.asked
        at_ns = window.end_ns + second * 1_000_000_000
        story.contributions.of(replace(window, start_ns=at_ns - WINDOW_NS, end_ns=at_ns), SERIES, Aspect.DECISION)
        return story.asked > before

    assert [asked_at(second) for second in (0, 10, 30, 50, 60, 70, 110)] == [
        True,
        False,
        False,
        False,
        True,
        False,
        True,
    ]


def test_one_item_among_a_hundred_thousand_is_seen() -> None:
    """The busiest items are kept, the others are one: an item that gains in one channel stands out."""
    traffic, rng = Traffic(SEED, window_s=WINDOW_S), np.random.default_rng(SEED)
    keys, items = range(2, 2 + len(CHANNELS)), 100_000
    streams = np.repeat([key << FEATURE_BITS | Aspect.DECISION for key in keys], items)
    bins = np.tile(np.arange(1, items + 1), len(keys))
    usual = Cells(streams, bins, 100_000.0 / bins)
    now = Cells(streams, bins, rng.poisson(10_000.0 / bins).astype(np.float64))
    poisoned = int(np.flatnonzero((streams == (keys[2] << FEATURE_BITS | Aspect.DECISION)) & (bins == 60_000))[0])
    counts = now.counts.copy()
    counts[poisoned] += 2_000
    window = replace(Window.empty(0, WINDOW_NS), cells=Cells(streams, bins, counts).where(counts > 0))
    contributions = Contributions(traffic.directory, usual.stream, traffic.text)

    told = contributions.of(window, SERIES, Aspect.DECISION)

    assert told
    assert [share.value for share in told.slices] == [CHANNELS[2]]


def test_earlier_windows_are_kept_within_bounds() -> None:
    """Large windows push each other out, and one that is too large by itself is not kept at all."""
    traffic = Traffic(SEED, window_s=WINDOW_S)
    (small,) = traffic.windows(QUIET, 1)
    cells = MOST_CELLS // 2 - 1
    large = replace(small, cells=Cells(np.arange(cells), np.zeros(cells, np.int64), np.ones(cells)))
    too_large = replace(small, cells=Cells(np.arange(3 * cells), np.zeros(3 * cells, np.int64), np.ones(3 * cells)))
    contributions = Contributions(traffic.directory, lambda _: Cells.empty(), traffic.text)

    for window, kept in ((large, 1), (large, 2), (large, 2), (too_large, 0), (small, 1)):
        contributions.keep(window, np.zeros(0, bool))
        assert contributions.windows == kept
