"""What every detector must do, one small check each; `yield_checks` crosses them with a detector.

A check is a function of a factory, so each starts with a detector that has learned nothing. It asserts, with a message that
says what was seen.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors.base import Detector, RowDetector
from spanward_processor.features import Rows
from spanward_processor.kernels.jit import Flags, Floats
from spanward_processor.kernels.tables import FEATURE_BITS, MISSING
from spanward_processor.surprise import Surprise
from spanward_processor.testing.traffic import DISTURBANCES, QUIET, Behaviour, Traffic
from spanward_processor.windows.window import Window

Factory = Callable[[Learning, float], Detector]
Check = Callable[[Factory, int], None]

_LEARNING: Final = Learning(windows=30, rows=300)
_DECAY: Final = 0.999
_WARM_UP: Final = 60
_BYTES_PER_KEY: Final = 16_384
_ROOM_AGAIN: Final = 1.2  # times the room of a detector that has never seen the keys which were let go of
_MOST_JUDGED: Final = 3
_MOST_WINDOWS: Final = 300  # a detector that gathers windows before it judges has judged by then


def _new(factory: Factory) -> Detector:
    return factory(_LEARNING, _DECAY)


def _held(traffic: Traffic, *, every: bool = False) -> Flags:
    return np.full(len(traffic.directory) << FEATURE_BITS, every)


def _learn(detector: Detector, traffic: Traffic) -> None:
    """Let a detector learn until it judges."""
    for number, window in enumerate(traffic.windows(QUIET, _MOST_WINDOWS)):
        judged = detector.test(window, traffic.directory).streams.size
        detector.learn(window, _held(traffic))
        if judged and number >= _WARM_UP:
            return


def _agree(one: Detector, other: Detector, traffic: Traffic, behaviour: Behaviour, fewest: int = 1) -> None:
    """Two detectors say the same of the same windows, at least until they judge."""
    for number, window in enumerate(traffic.windows(behaviour, _MOST_WINDOWS)):
        expected, found = one.test(window, traffic.directory), other.test(window, traffic.directory)
        np.testing.assert_array_equal(expected.streams, found.streams)
        np.testing.assert_allclose(expected.p, found.p, rtol=1e-9)
        for detector in (one, other):
            detector.learn(window, _held(traffic))
        if expected.streams.size and number + 1 >= fewest:
            return
    raise AssertionError(f"nothing was judged in {_MOST_WINDOWS} windows")


def _disturb(detector: Detector, traffic: Traffic, behaviour: Behaviour, p: float) -> tuple[Window, Surprise]:
    """Disturb what was learned until some p-value is as small as `p`, or the disturbance was judged a few times in vain."""
    windows = traffic.windows(behaviour, _MOST_WINDOWS)
    window = next(windows)
    surprise = detector.test(window, traffic.directory)
    judged = int(surprise.streams.size > 0)
    for following in windows:
        if surprise.p.min(initial=1.0) < p or judged == _MOST_JUDGED:
            break
        detector.learn(window, _held(traffic))
        window, surprise = following, detector.test(following, traffic.directory)
        judged += surprise.streams.size > 0
    return window, surprise


def _scores(detector: Detector, rows: Rows) -> Floats:
    """Return what a detector says of single rows; ones where it judges none."""
    return detector.score(rows) if isinstance(detector, RowDetector) else np.ones(len(rows))


def check_empty_window(factory: Factory, seed: int) -> None:
    """A window without rows is tested and learned without an error, before and after learning."""
    traffic, detector = Traffic(seed), _new(factory)
    empty = Window.empty(0, 2_000_000_000)
    for _ in range(2):
        surprise = detector.test(empty, traffic.directory)
        detector.learn(empty, _held(traffic))
        assert np.isfinite(surprise.p).all(), f"p-values must be finite, got {surprise.p}"
        _learn(detector, traffic)


def check_one_row(factory: Factory, seed: int) -> None:
    """A window of one row is tested and learned without an error."""
    traffic, detector = Traffic(seed), _new(factory)
    _learn(detector, traffic)
    rows = traffic.rows(QUIET)
    one = Rows(
        np.ascontiguousarray(rows.keys[:, :1]),
        np.ascontiguousarray(rows.bins[:, :1]),
        rows.time_ns[:1],
        rows.traces[:1],
    )
    surprise = detector.test(traffic.count(one), traffic.directory)
    assert ((surprise.p >= 0) & (surprise.p <= 1)).all(), f"p-values must lie in 0..1, got {surprise.p}"


def check_silent_while_learning(factory: Factory, seed: int) -> None:
    """Nothing is judged before it is learned."""
    traffic, detector = Traffic(seed), _new(factory)
    for number, window in enumerate(traffic.windows(QUIET, _LEARNING.windows - 1)):
        surprise = detector.test(window, traffic.directory)
        detector.learn(window, _held(traffic))
        assert surprise.streams.size == 0, f"window {number} of {_LEARNING.windows}: judged {surprise.streams}"


def check_input_unchanged(factory: Factory, seed: int) -> None:
    """A window is read, never written."""
    traffic, detector = Traffic(seed), _new(factory)
    for window in traffic.windows(QUIET, 3):
        for array in (window.cells.streams, window.cells.bins, window.cells.counts):
            array.setflags(write=False)
        detector.test(window, traffic.directory)
        detector.learn(window, _held(traffic))
        _scores(detector, traffic.rows(QUIET))


def check_shards_agree(factory: Factory, seed: int) -> None:
    """Cutting the rows of a window anywhere and merging the counts gives the same p-values."""
    whole, cut, rng = _new(factory), _new(factory), np.random.default_rng(seed)
    traffic, judged = Traffic(seed), 0
    for number in range(_MOST_WINDOWS):
        rows = traffic.rows(QUIET if number < _WARM_UP else DISTURBANCES["flood"])
        pieces = np.sort(rng.integers(0, len(rows) + 1, 3)).tolist()
        one, two = traffic.count(rows), traffic.count(rows, pieces)
        expected, found = whole.test(one, traffic.directory), cut.test(two, traffic.directory)
        np.testing.assert_array_equal(expected.streams, found.streams)
        np.testing.assert_allclose(expected.p, found.p, rtol=1e-9)
        whole.learn(one, _held(traffic))
        cut.learn(two, _held(traffic))
        judged += expected.streams.size
        if number > _WARM_UP and judged:
            return
    raise AssertionError(f"nothing was judged in {_MOST_WINDOWS} windows")


def check_held_streams_are_not_learned(factory: Factory, seed: int) -> None:
    """What is held leaves no trace: tests are as if the held window had not been, once it is known that the alarm is over."""
    traffic, detector = Traffic(seed), _new(factory)
    _learn(detector, traffic)
    before = pickle.loads(pickle.dumps(detector))  # noqa: S301 - our own bytes
    strange = next(traffic.windows(DISTURBANCES["flood"], 1))
    detector.test(strange, traffic.directory)
    detector.learn(strange, _held(traffic, every=True))
    (after,) = traffic.windows(QUIET, 1)
    for one in (before, detector):
        one.test(after, traffic.directory)
        one.learn(after, _held(traffic))
    _agree(before, detector, traffic, QUIET)


def check_state_survives_pickling(factory: Factory, seed: int) -> None:
    """A pickled and restored detector goes on as if nothing had happened."""
    traffic, detector = Traffic(seed), _new(factory)
    _learn(detector, traffic)
    restored = pickle.loads(pickle.dumps(detector))  # noqa: S301 - our own bytes
    _agree(detector, restored, traffic, QUIET)
    rows = traffic.rows(QUIET)
    np.testing.assert_array_equal(_scores(detector, rows), _scores(restored, rows))


def check_kept_state_goes_on(factory: Factory, seed: int) -> None:
    """A detector that takes back what another has kept goes on as that one does, and shares no memory with it."""
    traffic, detector, other = Traffic(seed), _new(factory), _new(factory)
    _learn(detector, traffic)
    other.restore(detector.arrays())
    _agree(detector, other, traffic, QUIET, fewest=3)
    rows = traffic.rows(QUIET)
    np.testing.assert_array_equal(_scores(detector, rows), _scores(other, rows))


def check_runs_repeat(factory: Factory, seed: int) -> None:
    """The same windows give the same p-values: there is no hidden randomness."""
    one, two = _new(factory), _new(factory)
    first, second = Traffic(seed), Traffic(seed)
    for number in range(_MOST_WINDOWS):
        answers: list[Floats] = []
        for detector, traffic in ((one, first), (two, second)):
            window = next(traffic.windows(QUIET, 1))
            answers.append(detector.test(window, traffic.directory).p)
            detector.learn(window, _held(traffic))
        np.testing.assert_array_equal(answers[0], answers[1])
        if answers[0].size and number >= _WARM_UP:
            return
    raise AssertionError(f"nothing was judged in {_MOST_WINDOWS} windows")


def check_constant_and_missing_features(factory: Factory, seed: int) -> None:
    """Features that never vary, and features no row has, give p-values and no error."""
    traffic, detector = Traffic(seed), _new(factory)
    for _ in range(_WARM_UP):
        rows = traffic.rows(QUIET)
        bins = np.where(rows.bins == MISSING, MISSING, 0)
        window = traffic.count(replace(rows, bins=bins))
        p = detector.test(window, traffic.directory).p
        detector.learn(window, _held(traffic))
        assert np.isfinite(p).all(), f"p-values must be finite, got {p}"


def check_quiet_on_stationary_traffic(factory: Factory, seed: int) -> None:
    """While nothing changes, p-values fall below 1 % in about 1 % of the tests, and below 0.01 % hardly ever."""
    traffic, detector = Traffic(seed), _new(factory)
    _learn(detector, traffic)
    seen: list[Floats] = []
    for window in traffic.windows(QUIET, 400):
        seen.append(detector.test(window, traffic.directory).p)
        detector.learn(window, _held(traffic))
    p = np.concatenate(seen)
    assert p.size > 0, "nothing was judged"
    assert np.mean(p < 0.01) <= 0.02, f"p < 0.01 in {np.mean(p < 0.01):.4f} of {p.size} tests"
    assert np.mean(p < 1e-4) <= 1e-3, f"p < 0.0001 in {np.mean(p < 1e-4):.5f} of {p.size} tests"


def check_gross_change_is_seen(factory: Factory, seed: int) -> None:
    """At least one gross disturbance gives a p-value below one in a million, as soon as it is judged."""
    smallest: dict[str, float] = {}
    for name, behaviour in DISTURBANCES.items():
        traffic, detector = Traffic(seed), _new(factory)
        _learn(detector, traffic)
        _, surprise = _disturb(detector, traffic, behaviour, 1e-6)
        smallest[name] = float(surprise.p.min(initial=1.0))
    assert min(smallest.values()) < 1e-6, f"smallest p-values: {smallest}"


def check_deviation_is_explained(factory: Factory, seed: int) -> None:
    """The most surprising stream of a disturbance is put into words that name the series and both values."""
    explained = 0
    for behaviour in DISTURBANCES.values():
        traffic, detector = Traffic(seed), _new(factory)
        _learn(detector, traffic)
        window, surprise = _disturb(detector, traffic, behaviour, 0.001)
        if surprise.p.min(initial=1.0) >= 0.001:
            continue
        stream = int(surprise.streams[np.argmin(surprise.p)])
        account = detector.explain(stream, window, traffic.directory, traffic.text)
        assert "router-0" in account.reason, account.reason
        assert account.observed, "the observed value must be said"
        assert account.baseline, "the usual value must be said"
        assert account.n > 0, "the rows behind the claim must be counted"
        explained += 1
    assert explained, "no disturbance was seen"


def check_rows_are_scored(factory: Factory, seed: int) -> None:
    """Single rows get p-values in 0..1, one each, before and after learning."""
    traffic, detector = Traffic(seed), _new(factory)
    for _ in range(2):
        rows = traffic.rows(QUIET)
        p = _scores(detector, rows)
        assert p.shape == (len(rows),), f"one p-value per row, got {p.shape} for {len(rows)} rows"
        assert ((p > 0) & (p <= 1)).all(), "p-values must lie in (0, 1]"
        _learn(detector, traffic)


def check_state_is_bounded_per_key(factory: Factory, seed: int) -> None:
    """State grows with the number of keys, and by no more than 16 kB each."""
    traffic, detector = Traffic(seed, models=200), _new(factory)
    for window in traffic.windows(replace(QUIET, rate_per_s=2000.0), 30):
        detector.test(window, traffic.directory)
        detector.learn(window, _held(traffic))
    size = len(pickle.dumps(detector)) / len(traffic.directory)
    assert size <= _BYTES_PER_KEY, f"{size:.0f} bytes per key, more than {_BYTES_PER_KEY}"


def check_evicted_keys_leave_nothing(factory: Factory, seed: int) -> None:
    """Who comes after keys that were let go of is judged as if those had never been, and needs no more room."""
    traffic, detector, fresh = Traffic(seed, models=2), _new(factory), _new(factory)
    for window in traffic.windows(QUIET, _WARM_UP, model=0):
        for one, seen in ((detector, window), (fresh, Window.empty(window.start_ns, window.end_ns))):
            one.test(seen, traffic.directory)
            one.learn(seen, _held(traffic))
    detector.evict(traffic.keys_of(0))
    for number, window in enumerate(traffic.windows(QUIET, _MOST_WINDOWS, model=1)):
        expected, found = fresh.test(window, traffic.directory), detector.test(window, traffic.directory)
        np.testing.assert_array_equal(expected.streams, found.streams)
        np.testing.assert_allclose(expected.p, found.p, rtol=1e-9)
        for one in (detector, fresh):
            one.learn(window, _held(traffic))
        if expected.streams.size and number >= _WARM_UP:
            size, needed = len(pickle.dumps(detector)), len(pickle.dumps(fresh))
            assert size <= _ROOM_AGAIN * needed, f"{size} bytes, where one that had never seen them has {needed}"
            return
    raise AssertionError(f"nothing was judged in {_MOST_WINDOWS} windows")


def check_evicted_keys_are_not_missed(factory: Factory, seed: int) -> None:
    """Of others the same is said as if nobody had been let go of."""
    traffic, detector = Traffic(seed, models=2), _new(factory)
    _learn(detector, traffic)
    other = pickle.loads(pickle.dumps(detector))  # noqa: S301 - our own bytes
    gone = traffic.keys_of(0)
    detector.evict(gone)
    judged = 0
    for window in traffic.windows(QUIET, _WARM_UP, model=1):
        expected, found = other.test(window, traffic.directory), detector.test(window, traffic.directory)
        stayed = ~gone[expected.streams >> FEATURE_BITS]
        np.testing.assert_array_equal(expected.streams[stayed], found.streams)
        np.testing.assert_allclose(expected.p[stayed], found.p, rtol=1e-9)
        for one in (detector, other):
            one.learn(window, _held(traffic))
        judged += found.streams.size
    assert judged, f"nothing was judged in {_WARM_UP} windows"


def check_documented(factory: Factory, seed: int) -> None:
    """The docstring names its source and its cost."""
    del seed
    for section in ("Source:", "Cost:"):
        assert section in (factory.__doc__ or ""), f"the docstring has no {section!r} section"


CHECKS: Final[tuple[Check, ...]] = (
    check_empty_window,
    check_one_row,
    check_silent_while_learning,
    check_input_unchanged,
    check_shards_agree,
    check_held_streams_are_not_learned,
    check_state_survives_pickling,
    check_kept_state_goes_on,
    check_runs_repeat,
    check_constant_and_missing_features,
    check_quiet_on_stationary_traffic,
    check_gross_change_is_seen,
    check_deviation_is_explained,
    check_rows_are_scored,
    check_state_is_bounded_per_key,
    check_evicted_keys_leave_nothing,
    check_evicted_keys_are_not_missed,
    check_documented,
)
"""Every check; a test compares this tuple with the functions of this module."""


def yield_checks() -> Iterator[tuple[str, Check]]:
    """Yield the name and function of every check."""
    for check in CHECKS:
        yield check.__name__, check


__all__ = ["CHECKS", "Check", "Factory", "yield_checks"]
