"""Things never seen before."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from otlp import encoded
from spanward import semconv
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.detectors.base import Account
from spanward_processor.detectors.novelty import Novelty
from spanward_processor.features import Rows
from spanward_processor.findings import Finding, Series, Severity, State
from spanward_processor.judging.judge import Judge
from spanward_processor.kept import Arrays
from spanward_processor.kernels.tables import FEATURE_BITS
from spanward_processor.pipeline import Pipeline
from spanward_processor.testing.traffic import QUIET, Behaviour, Traffic
from spanward_processor.usual.newcomers import MOST_TOLD

SEED = 20_261_126
WARM_UP = 150  # windows
EVER_NEW = replace(QUIET, strangers_per_s=3.0)


def news_of(
    behave: Callable[[int], Behaviour], windows: int, *, held: bool = False
) -> Iterator[tuple[int, float, Account]]:
    """Yield window number, p-value and account of the most surprising stream of each window in which there is news.

    Args:
        behave: How the world behaves, by number of the window; negative ones are for learning.
        windows: How many follow those.
        held: Whether those are under alarm.
    """
    print(f"seed {SEED}")
    traffic, novelty = Traffic(SEED), Novelty(Learning(), 0.998)
    for number in range(-WARM_UP, windows):
        (window,) = traffic.windows(behave(number), 1)
        surprise = novelty.test(window, traffic.directory)
        if number >= 0 and surprise.p.min() < 1:
            stream = int(surprise.streams[np.argmin(surprise.p)])
            account = novelty.explain(stream, window, traffic.directory, traffic.text)
            yield number, float(surprise.p.min()), account
        novelty.learn(window, np.full(len(traffic.directory) << FEATURE_BITS, held and number >= 0))


def test_a_crowd_of_strangers_is_news() -> None:
    """Clients that were never seen, many at once, where there were none before."""
    _, p, account = next(news_of(lambda number: QUIET if number < 0 else EVER_NEW, 1))

    assert p < 1e-4
    assert (account.aspect, account.kind) == ("client", "security")
    assert "never seen before at support / router-0 1.0: " in account.reason
    assert account.baseline.startswith("one new client in ")
    assert account.client == ""


def test_where_there_is_always_news_it_says_nothing() -> None:
    """A service to which new clients come all the time is quiet about them."""
    p = np.array([p for _, p, _ in news_of(lambda _: EVER_NEW, 200)])

    assert (p < 0.01).sum() <= 4
    assert p.min() > 1e-4


def test_one_stranger_is_hardly_news() -> None:
    """One new client in an hour's rows is one event, and new once only, even while it is held; it is named."""
    flood = replace(QUIET, flood_per_s=20.0)  # of one client
    news = list(news_of(lambda number: QUIET if number < 0 else flood, 5, held=True))

    assert [number for number, _, _ in news] == [0]
    assert news[0][1] > 1e-4
    assert news[0][2].observed == "1 new client"
    assert f": '{news[0][2].client}', among" in news[0][2].reason


# --- versions, models and slices -----------------------------------------------------------------------------------------

LEARNED = 80  # windows
ROWS_PER_WINDOW = 20
WINDOW_NS = 10_000_000_000
_ATTRIBUTES = {"channel": semconv.CHANNEL, "route": semconv.HTTP_ROUTE, "tool": "gen_ai.tool.name"}


class Deployment:
    """A pipeline that sees so many calls of each version in every window."""

    def __init__(self, kept: Arrays | None = None, now_ns: int = 170_000_000 * WINDOW_NS) -> None:
        self.now_ns = now_ns
        self.pipeline = Pipeline(
            Detection(slices=tuple(_ATTRIBUTES.values())),
            Limits(),
            clock_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.now_ns,
            kept=kept,
        )

    def run(self, *versions: str, windows: int, model: str = "router", **also: str) -> list[Finding]:
        """Let windows pass, each call with further attributes, by role; return what changed about the findings."""
        changes: list[Finding] = []
        named = {_ATTRIBUTES[name]: value for name, value in also.items()}
        for _ in range(windows):
            for version in versions:
                spans = [{semconv.MODEL_NAME: model, semconv.MODEL_VERSION: version, **named}] * ROWS_PER_WINDOW
                self.pipeline.acknowledge(self.pipeline.process(encoded(*spans, end_ns=self.now_ns)))
            self.now_ns += WINDOW_NS
            changes += self.pipeline.tick()
        return changes


def _told(changes: list[Finding]) -> list[Finding]:
    """Return what is information; that the former slice fell silent is a finding too."""
    return [change for change in changes if change.severity is Severity.INFO]


def test_a_version_that_comes_after_another_was_learned_is_told_once() -> None:
    """The finding is information, over at once, and names what was known before; the version is not told again."""
    world = Deployment()
    assert world.run("1.0", windows=LEARNED) == []

    (new,) = world.run("1.0", "1.1", windows=5)

    assert (new.aspect, new.kind, new.severity, new.state) == ("version", "info", Severity.INFO, State.RESOLVED)
    assert new.series == Series("support", "router", "1.1")
    assert new.reason.startswith("New version: support / router 1.1, 20 rows in its first window. Known before: 1.0.")


def test_a_model_that_comes_after_another_was_learned_is_told() -> None:
    """Where no version of it was known, the model is what is new."""
    world = Deployment()
    world.run("1.0", windows=LEARNED)

    changes = world.run("7", windows=5, model="ranker")

    assert [(change.aspect, change.series.model) for change in _told(changes)] == [("model", "ranker")]


def test_at_a_start_nothing_is_new() -> None:
    """Versions that come while nothing is learned yet are what there is to learn."""
    assert Deployment().run("1.0", "1.1", windows=5) == []


def test_what_was_told_is_not_told_after_a_restart() -> None:
    """A version that was new before a restart is known after it; one that comes then is new."""
    world = Deployment()
    world.run("1.0", windows=LEARNED)
    assert len(world.run("1.0", "1.1", windows=5)) == 1
    again = Deployment(world.pipeline.arrays(complete=True), world.now_ns)

    assert again.run("1.0", "1.1", windows=5) == []
    assert [change.observed for change in again.run("1.0", "1.2", windows=5)] == ["version 1.2"]


def test_a_new_version_spends_nothing_of_the_budget() -> None:
    """No stream comes under test with a newcomer, no finding is open and all goes on being learned; later it is judged itself."""
    print(f"seed {SEED}")
    traffic = Traffic(SEED, models=2, window_s=10.0)
    judge = Judge(
        (Novelty(Learning(), 0.998),), traffic.directory, traffic.text, window_s=10.0, false_alarms_per_day=1.0
    )

    def hear(rows: Rows) -> tuple[Finding, ...]:
        return judge.hear(traffic.count(rows))

    def first_model() -> Rows:
        rows = traffic.rows(QUIET)
        old = traffic.directory.parents()[rows.keys[0]] == 1
        return Rows(
            np.ascontiguousarray(rows.keys[:, old]), rows.bins[:, old].copy(), rows.time_ns[old], rows.traces[old]
        )

    for _ in range(LEARNED):
        hear(first_model())
    tested = judge.tested
    (new,) = hear(traffic.rows(QUIET))

    assert new.severity is Severity.INFO
    assert (judge.tested, judge.open_findings) == (tested, ())
    for _ in range(LEARNED):
        hear(traffic.rows(QUIET))
    assert judge.tested == 2 * tested


def test_a_crowd_of_newcomers_is_told_in_part() -> None:
    """At most so many of one window are told."""
    world = Deployment()
    world.run("1.0", windows=LEARNED)

    changes = world.run("1.0", *(f"2.{number}" for number in range(MOST_TOLD + 5)), windows=5)

    assert len(_told(changes)) == MOST_TOLD


@pytest.mark.parametrize("name", _ATTRIBUTES)
def test_a_slice_that_comes_after_its_series_was_learned_is_told_once(name: str) -> None:
    """A new channel, route or tool is information that names the attribute and what was known before."""
    world = Deployment()
    assert world.run("1.0", windows=LEARNED, **{name: "first"}) == []

    (new,) = _told(world.run("1.0", windows=5, **{name: "second"}))

    attribute = _ATTRIBUTES[name]
    assert (new.aspect, new.severity, new.state) == ("slice", Severity.INFO, State.RESOLVED)
    assert new.series == Series("support", "router", "1.0", (attribute, "second"))
    assert (new.observed, new.baseline) == (f"{attribute} second", "first")
    assert f"New {attribute}: support / router 1.0 [{attribute}=second], 20 rows in its first window." in new.reason
    assert not _told(world.run("1.0", windows=5, **{name: "second"}))


def test_slices_of_a_new_version_are_its_own_start() -> None:
    """Only the version is told: of it nothing was learned before which its slices could be new to."""
    world = Deployment()
    world.run("1.0", windows=LEARNED, channel="web")

    changes = world.run("1.1", windows=5, channel="partner")

    assert [change.aspect for change in _told(changes)] == ["version"]
