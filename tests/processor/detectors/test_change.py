"""Changes of every kind in quiet traffic: how soon they are found, and in which words."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors import Change, panel
from spanward_processor.features import Aspect
from spanward_processor.findings import Finding, State
from spanward_processor.judging.judge import Judge
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic
from spanward_processor.windows.cells import stream_of
from spanward_processor.windows.window import Window

SEED = 20_261_129
DECAY = 0.5 ** (10.0 / 3600)
WARM_UP = 180  # windows of ten seconds


def found(behaviour: Behaviour, windows: int) -> list[tuple[int, Finding]]:
    """Let half an hour of quiet traffic be learned, then let it behave; return what changed, and when."""
    print(f"seed {SEED}")
    traffic = Traffic(SEED, window_s=10.0)
    judge = Judge(panel(Learning(), DECAY), traffic.directory, traffic.text, window_s=10.0, false_alarms_per_day=1.0)
    for window in traffic.windows(QUIET, WARM_UP):
        assert judge.hear(window) == ()
    return [
        (number, change)
        for number, window in enumerate(traffic.windows(behaviour, windows))
        for change in judge.hear(window)
    ]


@pytest.mark.parametrize(
    ("aspect", "behaviour", "within"),
    [
        ("rate", replace(QUIET, rate_per_s=43.0), 20),
        ("rate", replace(QUIET, rate_per_s=60.0), 20),
        ("error", replace(QUIET, error_ratio=0.02), 25),
        ("input_size", replace(QUIET, longer=1.08), 25),
        ("decision", replace(QUIET, flipped=0.15), 60),
    ],
    ids=["a seventh less", "a fifth more", "1 to 2 % errors", "inputs 8 % longer", "15 % of one class in one channel"],
)
def test_a_small_change_is_found_by_its_aspect(aspect: str, behaviour: Behaviour, within: int) -> None:
    """What no single window shows is found once its evidence has added up."""
    opened = [(change.aspect, number) for number, change in found(behaviour, within) if change.state is State.OPENED]

    assert aspect in {what for what, _ in opened}


def test_the_words_tell_what_was_seen_since_it_rose() -> None:
    """A doubled error share is told as such, though the newest window may have fewer errors than usual."""
    print(f"seed {SEED}")
    traffic, detector = Traffic(SEED, window_s=10.0), Change(Learning(), DECAY)
    for window in traffic.windows(QUIET, WARM_UP):
        detector.test(window, traffic.directory)
        detector.learn(window, np.zeros(0, bool))
    series = int(traffic.rows(QUIET).keys[0, 0])
    stream, everything = stream_of(series, Aspect.ERROR), np.ones(1 << 12, bool)
    window = Window.empty(0, 1)
    for window in traffic.windows(replace(QUIET, error_ratio=0.025), 60):
        surprise = detector.test(window, traffic.directory)
        detector.learn(window, everything)
        assert surprise.log10_e is not None
        if surprise.log10_e[surprise.streams == stream][0] > 5.0:
            break

    account = detector.explain(stream, window, traffic.directory, traffic.text)

    assert 1.6 <= float(account.observed.removesuffix(" %")) <= 4.0
    assert account.n > 700  # more than one window
    assert "rose to" in account.reason


@pytest.mark.parametrize("change", [lambda window: replace(window, whole=False), lambda window: window])
def test_a_rate_that_was_not_seen_whole_is_no_evidence(change: Callable[[Window], Window]) -> None:
    """Where a window's time was not seen from end to end, its rate is not tested."""
    print(f"seed {SEED}")
    traffic, detector = Traffic(SEED, window_s=10.0), Change(Learning(), DECAY)
    for window in traffic.windows(QUIET, 70):
        detector.test(window, traffic.directory)
        detector.learn(window, np.zeros(0, bool))
    (window,) = traffic.windows(replace(QUIET, rate_per_s=5.0), 1)
    changed = change(window)

    streams = detector.test(changed, traffic.directory).streams

    assert bool((streams & ((1 << FEATURE_BITS) - 1) == Aspect.RATE).any()) == changed.whole
