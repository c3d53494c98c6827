"""Detectors of one judge, which learn once what several of them need."""

import numpy as np

from spanward_processor.configuration.settings import Learning
from spanward_processor.detectors import DETECTORS, FITTED, panel
from spanward_processor.testing.traffic import QUIET, Traffic

SEED = 20_261_127
DECAY = 0.5 ** (10.0 / 3600)
WINDOWS = 220  # seven bags of lessons; anchors are made of three


def test_each_of_a_panel_says_what_it_says_alone() -> None:
    """Whether rows wait, and what is usual is learned, with the others or by itself makes no difference."""
    print(f"seed {SEED}")
    traffic, held = Traffic(SEED, window_s=10.0), np.zeros(0, bool)
    together = panel(Learning(windows=2), DECAY, fitted=False)
    apart = [build(Learning(windows=2), DECAY) for build in DETECTORS if build not in FITTED]
    judged = dict.fromkeys((each.name for each in apart), 0)
    for window in traffic.windows(QUIET, WINDOWS):
        for one, other in zip(together, apart, strict=True):
            said, alone = (each.test(window, traffic.directory) for each in (one, other))
            np.testing.assert_array_equal(said.streams, alone.streams, one.name)
            np.testing.assert_array_equal(said.p, alone.p, one.name)
            judged[one.name] += said.streams.size
        for each in (*together, *apart):
            each.learn(window, held)

    assert all(judged.values()), judged


def test_what_several_need_is_kept_once() -> None:
    """Of a panel one detector keeps what others read; alone, each keeps one of its own."""
    together = panel(Learning(), DECAY, fitted=False)
    apart = [build(Learning(), DECAY) for build in DETECTORS if build not in FITTED]

    left_out = {
        one.name: {name.split(".")[0] if "." in name else name for name in other.arrays().keys() - one.arrays().keys()}
        for one, other in zip(together, apart, strict=True)
    }

    assert {name: parts for name, parts in left_out.items() if parts} == {
        "change": {"baseline"},
        "surge": {"baseline"},
        "baseline_guard": {"lessons"},
        "drift": {"lessons"},
        "correlation": {"waiting"},
    }
