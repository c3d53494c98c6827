"""A change that lasts for good, through the whole pipeline: told, learned after its time, over once it is usual."""

from typing import Any

import numpy as np
import pytest

from spans import encoded, span
from spanward import semconv
from spanward_processor.configuration.settings import Detection, LearnedAfter, Limits
from spanward_processor.findings import Finding, State
from spanward_processor.pipeline import Pipeline

SEED = 20_261_126
SECOND_NS = 1_000_000_000
WINDOW_NS = 60 * SECOND_NS
HOUR = 60  # windows
BEFORE = 6 * HOUR


class Service:
    """A service that is asked twelve times a minute, in a time that moves by minutes."""

    def __init__(self, learned_after: LearnedAfter) -> None:
        print(f"seed {SEED}")
        self._rng = np.random.default_rng(SEED)
        self.now_ns = 1_700_000_040 * SECOND_NS
        self.pipeline = Pipeline(
            Detection(window_s=60.0, learned_after=learned_after),
            Limits(),
            clock_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.now_ns,
        )

    def run(self, windows: int, *, slower: float = 1.0, spam: float = 0.2) -> list[Finding]:
        """Let windows pass; return what opened or ended."""
        changes: list[Finding] = []
        for _ in range(windows):
            ends = self.now_ns + self._rng.integers(0, WINDOW_NS, self._rng.poisson(12))
            self.pipeline.acknowledge(
                self.pipeline.process(encoded(*(self._span(int(end), slower, spam) for end in ends)))
            )
            self.now_ns += WINDOW_NS
            changes += self.pipeline.tick()
        return [change for change in changes if change.state is not State.UPDATED]

    def _span(self, end_ns: int, slower: float, spam: float) -> Any:
        took_ns = int(20_000_000 * slower * self._rng.lognormal(0, 0.3))
        decision = "spam" if self._rng.random() < spam else "ham"
        return span({semconv.DECISION: decision}, start_time_unix_nano=end_ns - took_ns, end_time_unix_nano=end_ns)


@pytest.mark.parametrize(
    ("aspect", "change"),
    [
        ("decision", {"spam": 0.45}),
        pytest.param("latency", {"slower": 1.5}, marks=pytest.mark.slow),  # why it rose is asked each minute
    ],
)
def test_a_change_for_good_is_one_finding_that_ends(aspect: str, change: dict[str, float]) -> None:
    """Baselines, bets and anchors take it for usual within hours, and nothing opens anew."""
    service = Service(LearnedAfter(performance=3_600.0, quality=3_600.0))
    assert service.run(BEFORE) == []

    changes = service.run(10 * HOUR, **change)

    assert [(one.aspect, one.state) for one in changes] == [(aspect, State.OPENED), (aspect, State.RESOLVED)]
    assert changes[1].id == changes[0].id
    assert "It lasted, was learned, and is usual now." in changes[1].reason


def test_a_change_that_may_be_an_attack_stays_a_finding() -> None:
    """What decisions changed to is not learned, by default."""
    service = Service(LearnedAfter())
    service.run(BEFORE)

    assert [(one.aspect, one.state) for one in service.run(2 * HOUR, spam=0.45)] == [("decision", State.OPENED)]
