"""One rare item among thousands that many rows suddenly take."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pytest

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Account
from spanward_processor.detectors.surge import Surge
from spanward_processor.evidence import log10_threshold
from spanward_processor.features import Aspect
from spanward_processor.kernels.jit import Floats, Ints
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import CHANNELS, Traffic
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.window import Window

SEED = 20_261_126
WINDOW_S: Final = 10
PER_HOUR: Final = 3600 // WINDOW_S
ITEMS: Final = 5_000
NEWCOMER: Final = ITEMS  # never seen before
CLUMP: Final = 10  # rows of one item that come at once
HALF_LIFE: Final = 40  # windows; an hour would take the tests too long
ALARM: Final = log10_threshold(100, WINDOW_S, 1.0)

Shares = Callable[[int], Floats]


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of one window: its number, evidence by key, log10, and the account of the strongest."""

    number: int
    log10_e: dict[int, float]
    account: Account | None


class Catalogue:
    """Items behind four channels, counted in windows as the processor does.

    Args:
        rows: Mean rows of a window.
        shares: Number of a window to the (items,) float64 share of each item.
        clump: Rows of one item that come at once.
        half_life: Windows in which what is usual fades by half.
    """

    def __init__(self, rows: float, shares: Shares, *, clump: int = 1, half_life: int = HALF_LIFE) -> None:
        print(f"seed {SEED}")
        self._rng = np.random.default_rng(SEED)
        self._decay = 2.0 ** (-1 / half_life)
        self._rows, self._shares, self._clump = rows, shares, clump
        traffic = Traffic(SEED)
        self.directory = traffic.directory
        parents = self.directory.parents()
        self.series = next(key for key in range(1, len(self.directory)) if parents[key] == key)
        self._channels = [key for key in range(1, len(self.directory)) if parents[key] == self.series != key]

    def window(self, number: int, poisoned: float = 0.0) -> Window:
        """Return a window; a share of the rows of the last channel takes the newcomer."""
        running = np.cumsum(self._shares(number))
        count = int(self._rng.poisson(self._rows / self._clump))
        luck = self._rng.random(count) * float(running[-1])
        drawn = np.asarray(np.searchsorted(running, luck), np.int64)
        items: Ints = np.repeat(drawn, self._clump)
        channels = self._rng.integers(0, len(CHANNELS), items.size)
        items[(channels == len(CHANNELS) - 1) & (self._rng.random(items.size) < poisoned)] = NEWCOMER
        parts = [self._cells(self.series, items)]
        parts += [self._cells(key, items[channels == at]) for at, key in enumerate(self._channels)]
        streams, bins, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
        start_ns = number * WINDOW_S * 10**9
        window = Window.empty(start_ns, start_ns + WINDOW_S * 10**9)
        return replace(window, cells=Cells.of(streams, bins, counts))

    @staticmethod
    def _cells(key: int, items: Ints) -> tuple[Ints, Ints, Ints]:
        bins, counts = np.unique(items, return_counts=True)
        return np.full(bins.size, key << FEATURE_BITS | Aspect.DECISION), bins, counts

    def heard(
        self, windows: int, poisoned: Callable[[int], float] = lambda number: 0.0, forgotten: int = -1
    ) -> Iterator[Heard]:
        """Yield what a detector hears, window by window; after one of them it is told to forget."""
        surge, nobody = Surge(Learning(), self._decay), np.zeros(0, bool)
        for number in range(windows):
            window = self.window(number, poisoned(number))
            surprise = surge.test(window, self.directory)
            assert surprise.log10_e is not None
            found = dict(zip((surprise.streams >> FEATURE_BITS).tolist(), surprise.log10_e.tolist(), strict=True))
            account = None
            if found:
                stream = int(surprise.streams[np.argmax(surprise.log10_e)])
                account = surge.explain(stream, window, self.directory, str)
            yield Heard(number, found, account)
            surge.learn(window, nobody)
            if number == forgotten:
                surge.forget(surprise.streams)


def zipf(number: int) -> Floats:
    """Return shares that fall with the rank, at all times alike."""
    del number
    return 1.0 / np.arange(1, ITEMS + 1)


def rising(begins: int, doubles: float, to: float) -> Shares:
    """Return shares among which a newcomer's doubles every so many windows, from a hundredth of a percent on.

    Args:
        begins: Window in which it begins.
        doubles: Windows in which it doubles.
        to: Where it ends.
    """

    def shares(number: int) -> Floats:
        usual = zipf(number)
        share = min(1e-4 * 2.0 ** ((number - begins) / doubles), to) if number >= begins else 0.0
        return np.append(usual, usual.sum() * share / (1 - share))

    return shares


def turning(number: int) -> Floats:
    """Return shares of a catalogue with news every day: the item of each rank gives way to a new one, within some hours.

    The upper half of the ranks hands over at a time of the day that the rank says; the new one doubles every hour at first.
    """
    usual = zipf(number)
    hands = np.arange(1, 2_000, 2)
    apart = (number - (hands * 619) % (24 * PER_HOUR)) / PER_HOUR  # hours since half of it was handed over
    handed = np.where(apart > -12.0, 1.0 / (1.0 + np.exp(-np.log(2.0) * apart)), 0.0)
    new = usual[hands] * handed
    usual[hands] -= new
    return np.concatenate((usual, new))


def first_alarm(heard: Iterator[Heard]) -> Heard | None:
    """Return what was heard when evidence reached an alarm, None if it never did."""
    return next((one for one in heard if max(one.log10_e.values(), default=0.0) >= ALARM), None)


def test_a_newcomer_in_one_channel_is_named() -> None:
    """A fifth of one channel's rows goes to an item that was never seen: the item, its share and the channel are told."""
    catalogue = Catalogue(400.0, zipf)

    alarm = first_alarm(catalogue.heard(160, lambda number: 0.2 if number >= 100 else 0.0))

    assert alarm
    assert alarm.account
    assert 100 < alarm.number <= 115
    assert alarm.account.reason.startswith(
        "A rare decision surges at support / router-0 1.0 [spanward.channel=partner-feed]"
    )
    assert f"'{NEWCOMER}' 2" in alarm.account.reason
    assert alarm.account.baseline == f"'{NEWCOMER}' 0 %"
    assert [cell[1] for cell in alarm.account.carriers] == [NEWCOMER]


def test_evidence_goes_when_the_item_goes() -> None:
    """A surge that ends leaves no evidence some minutes later."""
    catalogue = Catalogue(400.0, zipf)

    *_, last = catalogue.heard(160, lambda number: 0.2 if 100 <= number < 130 else 0.0)

    assert max(last.log10_e.values()) < 1.0


def test_what_was_forgotten_is_held_against_nobody() -> None:
    """Where stakes were taken back, a surge that goes on has to show itself anew."""
    catalogue = Catalogue(400.0, zipf)

    *_, before, after = catalogue.heard(116, lambda number: 0.2 if number >= 100 else 0.0, forgotten=114)

    assert max(before.log10_e.values()) >= ALARM
    assert max(after.log10_e.values()) < ALARM / 2


@pytest.mark.parametrize(
    ("doubles", "found"), [(HALF_LIFE // 12, True), (HALF_LIFE, False)], ids=["a twelfth", "a half-life"]
)
def test_who_rises_at_once_is_told_and_who_takes_long_is_followed(doubles: int, found: bool) -> None:
    """An item that reaches eight percent is a surge, unless it took a half-life of the baseline to double: that is normal life."""
    catalogue = Catalogue(200.0, rising(begins=60, doubles=doubles, to=0.08))

    assert (first_alarm(catalogue.heard(60 + 12 * doubles)) is not None) == found


def test_rows_that_come_in_clumps_are_no_surge() -> None:
    """Ten rows of one item at once, whichever it is, are quiet."""
    catalogue = Catalogue(400.0, zipf, clump=CLUMP)

    assert first_alarm(catalogue.heard(400)) is None


@pytest.mark.slow
def test_a_day_of_a_catalogue_with_news_is_quiet() -> None:
    """Five thousand items, a thousand of which give way to new ones within a day: no alarm in any window of it."""
    catalogue = Catalogue(300.0, turning, half_life=PER_HOUR)

    assert first_alarm(catalogue.heard(24 * PER_HOUR)) is None
