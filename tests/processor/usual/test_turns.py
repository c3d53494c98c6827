"""Windows at times at which streams have turned before."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors import Baseline, BaselineGuard, Change
from spanward_processor.detectors.drift import Drift
from spanward_processor.features import Aspect
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import QUIET, SECOND_NS, Behaviour, Traffic
from spanward_processor.usual.calendar import DAY_S, WEEK_S, Calendar
from spanward_processor.usual.turns import COMES_AGAIN
from spanward_processor.windows.window import Window

SEED = 20_261_127
WINDOW_S = 60.0
BEFORE, AFTER = 180, 300  # windows around each turn
WEEKDAY = replace(QUIET, rate_per_s=2.0)
WEEKEND = replace(WEEKDAY, slower=0.6, flipped=0.8)
DECAY = 0.5 ** (WINDOW_S / 3_600)
NOBODY = np.empty(0, np.int64)
FREE = np.zeros(0, bool)
SURELY, SURELY_NOT = 6.0, 3.3  # powers of ten


class Service:
    """A service whose latency and decisions are other ones at weekends; only some hours before and after each turn are seen."""

    def __init__(self) -> None:
        print(f"seed {SEED}")
        self.traffic = Traffic(SEED, window_s=WINDOW_S)
        self.baseline = Baseline(Learning(), DECAY)
        self.change = Change(Learning(), DECAY, self.baseline)
        self.drift = Drift(Learning(), DECAY, self.baseline.calendar)
        self.guard = BaselineGuard(Learning(), DECAY, self.drift.lessons)
        self.detectors = (self.baseline, self.change, self.guard, self.drift)
        keys = np.arange(len(self.traffic.directory))
        self.streams = np.concatenate([keys << FEATURE_BITS | one for one in (Aspect.LATENCY, Aspect.DECISION)])

    def week(self, weekend: Behaviour) -> dict[str, float]:
        """Let a week pass, from Friday evening on; return what each detector held at most against a stream, see `turn`."""
        away, back = self.turn(WEEKDAY, weekend, 2 * DAY_S), self.turn(weekend, WEEKDAY, 5 * DAY_S)
        return {name: max(most, back[name]) for name, most in away.items()}

    def turn(self, before: Behaviour, after: Behaviour, away_s: float) -> dict[str, float]:
        """Let the service turn, which is noted; all is learned.

        Args:
            before: What it did.
            after: What it does then.
            away_s: Seconds to the next turn, of which only the hours around each are seen.

        Returns:
            By detector, how much it holds at most against a stream that turns, in powers of ten: of the evidence that it
            accumulates, else of its p-values.
        """
        against = dict.fromkeys((one.name for one in self.detectors), 0.0)
        for number, behaviour in enumerate([before] * BEFORE + [after] * AFTER):
            (window,) = self.traffic.windows(behaviour, 1)
            for name, most in self._test(window).items():
                against[name] = max(against[name], most)
            if number == BEFORE:
                self.baseline.turn(self.streams, NOBODY, window, self.traffic.directory)
            for one in self.detectors:
                one.learn(window, FREE)
        self.traffic.skip(away_s - (BEFORE + AFTER) * WINDOW_S)
        return against

    def learned(self, behaviours: Sequence[Behaviour]) -> Window:
        """Let the baseline test and learn some windows; return the last one."""
        window = Window.empty(0, 1)
        for behaviour in behaviours:
            (window,) = self.traffic.windows(behaviour, 1)
            self.baseline.test(window, self.traffic.directory)
            self.baseline.learn(window, FREE)
        return window

    def _test(self, window: Window) -> dict[str, float]:
        most: dict[str, float] = {}
        for one in self.detectors:
            surprise = one.test(window, self.traffic.directory)
            log10 = -np.log10(surprise.p) if surprise.log10_e is None else surprise.log10_e
            most[one.name] = float(log10[np.isin(surprise.streams, self.streams)].max(initial=0.0))
        return most


@pytest.fixture(scope="module")
def service() -> Service:
    """Return a service after two weekends, of which each was news to all."""
    after = Service()
    for _ in range(2):
        assert after.week(WEEKEND)["change"] > SURELY
    return after


def test_the_third_weekend_is_no_news(service: Service) -> None:
    """What came twice at this time is usual at this time, for all that compare windows or bags with what is usual."""
    against = copy.deepcopy(service).week(WEEKEND)

    assert max(against.values()) < SURELY_NOT + 0.7, against


def test_without_a_calendar_it_is_news_again(service: Service) -> None:
    """The test above does not pass for another reason."""
    forgetful = copy.deepcopy(service)
    forgetful.baseline.calendar.restore(Calendar().arrays())

    against = forgetful.turn(WEEKDAY, WEEKEND, DAY_S)

    assert min(against.values()) > SURELY, against


def test_a_weekend_that_is_another_one_is_news(service: Service) -> None:
    """An incident at the time of a turn is compared with what comes at that time, and is unlike it."""
    against = copy.deepcopy(service).turn(WEEKDAY, replace(WEEKDAY, slower=1.7, flipped=0.8), DAY_S)

    assert against["change"] > SURELY, against


def test_the_calendar_is_kept_with_the_baseline(service: Service) -> None:
    """A restart forgets no turn: two on each of two weekends."""
    after = Baseline(Learning(), DECAY)
    after.restore(service.baseline.arrays())

    assert after.arrays()["turns.hours"].tolist() == service.baseline.arrays()["turns.hours"].tolist()
    assert after.arrays()["turns.hours"].size == 4


def test_a_window_that_was_not_learned_leaves_nothing_behind(service: Service) -> None:
    """What was noted of it is not taken for the next one, which may have other streams."""
    tested = copy.deepcopy(service)
    tested.learned([WEEKDAY] * BEFORE)
    for skipped, behaviour in ((0.0, WEEKDAY), (3.4 * DAY_S, replace(WEEKDAY, rate_per_s=0.5))):
        tested.traffic.skip(skipped)
        (window,) = tested.traffic.windows(behaviour, 1)
        tested.baseline.test(window, tested.traffic.directory)

    tested.baseline.learn(window, FREE)

    assert tested.baseline.arrays()["turns.hours"].size == 4


def test_who_turns_again_is_told_for_two_hours(service: Service) -> None:
    """Whole rows and pairs of features of that series may be unlike before; of a week in which nothing turns nobody is told."""
    again, quiet = copy.deepcopy(service), copy.deepcopy(service)
    series = int(again.traffic.directory.parent(int(again.streams[1]) >> FEATURE_BITS))

    window = again.learned([WEEKDAY] * BEFORE + [WEEKEND] * 5)
    later = Window.empty(window.start_ns + 3 * 3_600 * SECOND_NS, window.end_ns + 3 * 3_600 * SECOND_NS)

    assert quiet.baseline.turning(quiet.learned([WEEKDAY] * (BEFORE + 5))).tolist() == []
    assert again.baseline.turning(window).tolist() == [series]
    assert again.baseline.turning(later).tolist() == []


def test_who_was_told_is_compared_with_what_was_usual_of_late(service: Service) -> None:
    """A finding that is open lasts until its streams turn back, though they may be at this time what they are now."""
    told = copy.deepcopy(service)
    window = told.learned([WEEKDAY] * BEFORE)
    told.baseline.turn(NOBODY, told.streams, window, told.traffic.directory)

    assert told.baseline.turning(told.learned([WEEKEND] * 5)).tolist() == []


def test_attacks_do_not_become_usual_by_the_clock() -> None:
    """Repeated inputs are told each time; decisions may turn each week, not each night."""
    assert not COMES_AGAIN[WEEK_S][Aspect.REPEAT]
    assert not COMES_AGAIN[DAY_S][[Aspect.REPEAT, Aspect.DECISION, Aspect.SCORE]].any()
    assert COMES_AGAIN[WEEK_S][[Aspect.DECISION, Aspect.LATENCY]].all()
    assert COMES_AGAIN[DAY_S][[Aspect.LATENCY, Aspect.ERROR]].all()
