"""What is kept of deployments is bounded, and what comes beyond it has a defined answer."""

import numpy as np

from deploying import SECOND, START, History, encoded, finding
from spanward import semconv
from spanward_processor.dora import deployments, tally, traffic
from spanward_processor.dora.line import Line
from spanward_processor.dora.settings import Dora
from spanward_processor.dora.subjects import Part, Subject
from spanward_processor.windows.cells import Cells
from spanward_processor.windows.sample import Sample
from spanward_processor.windows.window import Window


def test_the_oldest_deployment_is_forgotten() -> None:
    """`dora.deployments` of them are kept, and a failure of a forgotten one is nobody's."""
    history = History(Dora(deployments=3))
    for number in range(8):
        history.settle(str(number))

    assert [one.version for one in history.deployments] == ["5", "6", "7"]


def test_subjects_beyond_the_bound_are_not_followed() -> None:
    """Those that were there first go on."""
    history = History(per_step=1)
    for number in range(deployments.MOST_SUBJECTS + 20):
        history.send("1", 1, history.now + SECOND, {semconv.MODEL_NAME: f"m{number}"})
    history.pass_s(60)

    assert len(history.recorded.lines()) == deployments.MOST_SUBJECTS


def test_a_request_of_many_versions_is_counted_up_to_a_bound() -> None:
    """The most frequent versions count; ten thousand others take no room."""
    history = History()
    sent = b"".join(
        _request(history, {semconv.PROMPT_VERSION: f"v{number}"}, 2 if number < 5 else 1) for number in range(2000)
    )
    history.take(sent)
    counted = history.recorded.arrays()["told"].tobytes().decode()

    assert counted.count('"prompt"') <= tally.MOST + 1
    history.pass_s(60)
    (line,) = [line for line in history.recorded.lines() if line[0].part is Part.PROMPT]
    assert line[0] == Subject("support", "router", Part.PROMPT)


def test_counts_of_open_windows_are_bounded() -> None:
    """Request after request with versions of its own: what is counted, and what is remembered of texts, ends somewhere."""
    history = History()
    for batch in range(90):
        history.take(
            b"".join(_request(history, {semconv.INDEX_VERSION: f"{batch}-{number}"}, 1) for number in range(tally.MOST))
        )
    told = history.recorded.arrays()["told"].size

    history.pass_s(60)
    assert told < 100 * traffic.MOST_COUNTS
    assert history.recorded.arrays()["told"].size < told


def test_findings_that_wait_are_bounded() -> None:
    """Where no window closes any more, the oldest are forgotten."""
    history = History()
    history.recorded.hear(finding(START + number, name=str(number)) for number in range(deployments.MOST_FINDINGS + 50))

    assert history.recorded.arrays()["told"].tobytes().decode().count('"reason"') == deployments.MOST_FINDINGS


def test_a_subject_of_a_thousand_versions_keeps_some() -> None:
    """Of one window the most frequent, and of those that were in charge the newest."""
    settings = Dora(min_requests=10)
    line = Line(Subject("s", "m", Part.MODEL), START)
    for number in range(200):
        for step in range(12):
            start_ns = START + (12 * number + step) * 10 * SECOND
            rows = {str(number): 100.0} | {f"x{number}-{other}": 1.0 for other in range(50)}
            line.see(start_ns, start_ns + 10 * SECOND, rows, settings)

    assert line.version == "199"
    assert len(str(line.as_plain())) < 20_000


def test_a_window_without_anything_is_taken() -> None:
    """Silence closes windows too."""
    history = History()
    nothing = np.empty(0, np.int64)
    empty = Window(
        0,
        SECOND,
        Cells.empty(),
        nothing,
        np.empty(0),
        np.empty((0, 2), np.uint64),
        Sample.empty(),
    )
    history.recorded.see(empty)

    assert history.recorded.lines() == ()


def _request(history: History, attributes: dict[str, str], count: int) -> bytes:
    span = {semconv.MODEL_NAME: "router", semconv.MODEL_VERSION: "1"} | attributes
    return encoded(count, span, {semconv.SERVICE_NAME: "support"}, history.now + SECOND)
