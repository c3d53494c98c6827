"""Which versions count as deployed, and when: scripted histories of known answers."""

from dataclasses import replace

import pytest

from deploying import DAY, HOUR, MINUTE, ROUTER, SECOND, START, History
from spanward import semconv
from spanward_processor.dora.line import Change, Line
from spanward_processor.dora.settings import Dora

PRECISE_NS = 10 * SECOND  # a step


def test_the_version_that_was_there_first_is_no_deployment() -> None:
    """Nobody knows when it was deployed."""
    history = History()
    history.settle("1")

    assert history.seen == []
    assert history.measured().version == "1"


def test_a_version_that_takes_over_is_dated_to_when_it_did() -> None:
    """It counts once, at the begin of the window in which it came."""
    history = History()
    history.settle("1")
    at_ns = history.serve(180, {"2": 1.0})

    assert history.seen == [("model", "2", at_ns)]


@pytest.mark.parametrize(("share", "counts"), [(0.1, False), (0.45, False), (0.5, True), (0.6, True)])
def test_half_of_the_requests_make_a_deployment(share: float, counts: bool) -> None:
    """A canary, or one half of blue and green, below 50 % does not count, however long it serves."""
    history = History()
    history.settle("1")
    history.serve(3600, {"1": 1.0 - share, "2": share})

    assert [version for _, version, _ in history.seen] == (["2"] if counts else [])


def test_a_canary_that_grows_counts_when_it_has_half() -> None:
    """10 %, 25 %, 50 %, 100 %: one deployment, dated to the third."""
    history = History()
    history.settle("1")
    for share in (0.1, 0.25):
        history.serve(300, {"1": 1.0 - share, "2": share})
    at_ns = history.serve(300, {"1": 0.5, "2": 0.5})
    history.serve(300, {"2": 1.0})

    assert history.seen == [("model", "2", at_ns)]


def test_two_replicas_that_roll_over_minutes_are_one_deployment() -> None:
    """The first replica serves half, four minutes later the other follows."""
    history = History()
    history.settle("1")
    at_ns = history.serve(240, {"1": 0.5, "2": 0.5})
    history.serve(240, {"2": 1.0})

    assert history.seen == [("model", "2", at_ns)]


def test_a_split_by_halves_that_sways_stays_one_deployment() -> None:
    """Neither version is rolled back while both serve about half."""
    history = History()
    history.settle("1")
    at_ns = history.serve(180, {"1": 0.4, "2": 0.6})
    for _ in range(5):
        history.serve(120, {"1": 0.6, "2": 0.4})
        history.serve(120, {"1": 0.4, "2": 0.6})

    assert history.seen == [("model", "2", at_ns)]
    assert history.measured().failed == 0


def test_a_glimpse_of_a_version_is_no_deployment() -> None:
    """Twenty seconds of another version are less than half of the minute that is looked at."""
    history = History()
    history.settle("1")
    history.serve(20, {"2": 1.0})
    history.settle("1")

    assert history.seen == []


def test_versions_that_flap_are_deployed_and_rolled_back_each_time() -> None:
    """Each lasts for minutes, so each was in charge: three deployments of one version, of which two failed."""
    history = History()
    history.settle("1")
    times = [(history.serve(180, {"2": 1.0}), history.serve(180, {"1": 1.0})) for _ in range(2)]
    last_ns = history.serve(180, {"2": 1.0})

    assert history.seen == [("model", "2", at_ns) for at_ns in (times[0][0], times[1][0], last_ns)]
    measured = history.measured()
    assert (measured.failed, measured.rework, measured.recovery_s) == (2, 2, 180.0)


def test_few_requests_wait_until_enough_have_come() -> None:
    """One request of a canary in a quiet minute is all of the requests, and decides nothing."""
    history = History(per_step=1)
    history.serve(2000, {"1": 1.0})
    history.serve(10, {"2": 1.0})
    history.serve(300, {"1": 1.0})
    at_ns = history.serve(400, {"2": 1.0})
    none_yet = history.seen
    history.serve(300, {"2": 1.0})

    assert none_yet == []
    assert history.seen == [("model", "2", at_ns)]


def test_silence_changes_nothing() -> None:
    """A night without requests is neither a deployment nor an end; what comes after it counts as usual."""
    history = History(per_step=120, step_s=60)
    history.settle("1")
    history.pass_s(8 * 3600)
    at_ns = history.serve(300, {"2": 1.0})

    assert history.seen == [("model", "2", at_ns)]


def test_late_rows_move_nothing() -> None:
    """Rows whose window has closed are forwarded, and are no sign that their version serves again."""
    history = History()
    history.settle("1")
    at_ns = history.serve(180, {"2": 1.0})
    for _ in range(10):
        history.send("1", 500, at_ns - MINUTE)
        history.serve(10, {"2": 1.0})

    assert history.seen == [("model", "2", at_ns)]
    assert history.measured().version == "2"


def test_rows_out_of_order_count_at_their_own_time() -> None:
    """Within the lateness it does not matter in which order rows come."""
    history = History()
    history.settle("1")
    at_ns = history.now
    for place in range(18):
        later, earlier = at_ns + (place + 1) * 10 * SECOND, at_ns + place * 10 * SECOND
        if place % 2 == 0:
            history.now = later
            history.send("2", 20, later + SECOND)
            history.send("2", 20, earlier + SECOND)
        history.now = later
        history.pass_s(0)
    history.pass_s(60)

    assert history.seen == [("model", "2", at_ns)]


def test_several_models_of_a_service_are_counted_apart() -> None:
    """A deployment of one model is none of the other."""
    history = History()
    other = {semconv.MODEL_NAME: "ranker"}
    for version in ("1", "2"):
        for _ in range(18):
            history.send(version, 20, history.now + SECOND)
            history.send("7", 20, history.now + SECOND, other)
            history.pass_s(10)

    assert [version for _, version, _ in history.seen] == ["2"]
    assert history.measured(replace(ROUTER, model="ranker")).deployments == 0


def test_rows_without_a_version_count_for_nobody() -> None:
    """Where most spans carry no version, those that do decide."""
    history = History()
    history.serve(180, {"": 0.8, "1": 0.2})
    at_ns = history.serve(900, {"": 0.8, "2": 0.2})

    assert history.seen == [("model", "2", at_ns)]


def test_a_restart_in_the_middle_of_a_roll_out_changes_nothing() -> None:
    """The other process goes on where the first was, down to the step."""
    history = History()
    history.settle("1")
    at_ns = history.serve(20, {"2": 1.0})
    history.restart()
    history.settle("2")

    assert history.seen == [("model", "2", at_ns)]


def test_a_version_deployed_while_nobody_looked_counts() -> None:
    """Processor and model are often deployed together."""
    history = History()
    history.settle("1")
    history.restart()
    history.now += 5 * MINUTE
    at_ns = history.serve(300, {"2": 1.0})

    (deployment,) = history.deployments
    assert (deployment.version, deployment.before) == ("2", "1")
    assert abs(deployment.at_ns - at_ns) <= PRECISE_NS


def test_an_older_version_after_a_long_time_is_a_deployment() -> None:
    """Who goes back after two days does not repair a deployment: that is a decision of its own."""
    history = History(Dora(fails_within_s=3600.0), per_step=120, step_s=60)
    history.settle("1")
    history.settle("2")
    history.pass_s(7200)
    at_ns = history.serve(300, {"1": 1.0})

    assert [(one.version, one.before) for one in history.deployments] == [("2", "1"), ("1", "2")]
    assert history.seen[-1][2] == at_ns
    assert history.measured().failed == 0


def test_clocks_that_are_set_back_begin_anew() -> None:
    """Rows that seem older than what was seen do not mix with it."""
    line = Line(ROUTER, START)
    settings = Dora()
    for place in range(10):
        line.see(START + place * MINUTE, START + (place + 1) * MINUTE, {"1": 100.0}, settings)
    turns = [
        line.see(START - HOUR + place * MINUTE, START - HOUR + (place + 1) * MINUTE, {"2": 100.0}, settings)
        for place in range(3)
    ]

    assert [turn.change for turn in turns if turn] == [Change.DEPLOYED]
    assert line.version == "2"


@pytest.mark.parametrize(
    ("part", "attribute"),
    [
        ("service", semconv.SERVICE_VERSION),
        ("prompt", semconv.PROMPT_VERSION),
        ("prompt", "llm.prompt_template.version"),
        ("index", semconv.INDEX_VERSION),
        ("guardrail", semconv.GUARDRAIL_VERSION),
    ],
)
def test_other_parts_are_deployed_too(part: str, attribute: str) -> None:
    """Where spans or resources carry the version of a template, an index or a guardrail, it counts as a model's does."""
    history = History()
    times = [history.serve(180, {"1": 1.0}, **{attribute.replace(".", "__"): version}) for version in ("a", "b")]

    assert history.seen == [(part, "b", times[1])]


def test_other_parts_count_what_was_acknowledged_in_its_window() -> None:
    """Late rows, and versions that share a request, are counted as a model's are."""
    history = History()
    history.settle("1")
    for version in ("a", "b"):
        for _ in range(18):
            history.send("1", 15, history.now + SECOND, {semconv.PROMPT_VERSION: version})
            history.send("1", 5, history.now + SECOND, {semconv.PROMPT_VERSION: "canary"})
            history.send("1", 500, history.now - 10 * MINUTE, {semconv.PROMPT_VERSION: "late"})
            history.pass_s(10)

    assert [version for _, version, _ in history.seen] == ["b"]


def test_a_month_of_deployments_is_counted_per_day() -> None:
    """Twelve deployments in some four days are so many a day."""
    history = History(per_step=200, step_s=600)
    history.settle("0")
    for number in range(1, 13):
        history.settle(str(number))
        history.pass_s(5 * 3600)
    history.settle("12")

    measured, days = history.measured(), (history.now - START) / DAY
    assert measured.deployments == 12
    assert measured.per_day == pytest.approx(12 / days, rel=0.01)
    assert history.measured(since_s=DAY / SECOND).deployments == 2  # 11 and 19 hours ago
