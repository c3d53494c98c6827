"""Numbers of versions that are on trial: given, taken back, and given again when nothing of who had them is open."""

import pytest

from arrays import ints
from otlp import encoded
from spanward import semconv
from spanward_processor.canary.seats import MOST_SEATS, NO_SEAT, Seats
from spanward_processor.canary.settings import Canary
from spanward_processor.configuration.settings import Detection, Limits
from spanward_processor.pipeline import Pipeline

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS


def test_each_version_keeps_its_seat() -> None:
    """A series has one seat, its rows are found by it, and others have none."""
    seats = Seats()
    given = [seats.take(key, 0) for key in (5, 900, 5)]

    assert given == [0, 1, 0]
    assert seats.of(ints([900, 5, 4, -1, 10_000])).tolist() == [1, 0, NO_SEAT, NO_SEAT, NO_SEAT]


def test_there_are_only_so_many() -> None:
    """Where all are taken nobody gets one more."""
    seats = Seats()
    given = [seats.take(key, 0) for key in range(1, MOST_SEATS + 2)]

    assert given == [*range(MOST_SEATS), NO_SEAT]
    assert len(seats) == MOST_SEATS


def test_a_seat_that_was_left_is_given_again_once_its_rows_are_closed() -> None:
    """While a window may hold rows of who left, the next one gets another seat, or none."""
    seats = Seats()
    for key in range(1, MOST_SEATS + 1):
        seats.take(key, 0)

    assert seats.leave({key for key in range(1, MOST_SEATS + 1) if key != 7}, until_ns=100) == [6]
    assert seats.of(ints([7])).tolist() == [NO_SEAT]
    assert seats.take(1_000, closed_ns=99) == NO_SEAT
    assert seats.take(1_000, closed_ns=100) == 6


def test_seats_survive_a_restart() -> None:
    """Who takes back what another kept gives the same seats, and knows which one rests."""
    seats, other = Seats(), Seats()
    for key in (3, 4, 5):
        seats.take(key, 0)
    seats.leave({3, 5}, until_ns=100)
    other.restore(seats.as_plain())

    assert other.of(ints([3, 4, 5])).tolist() == [0, NO_SEAT, 2]
    assert other.take(6, closed_ns=50) == 3
    assert other.take(7, closed_ns=100) == 1


def test_a_trial_that_goes_on_for_ever_takes_nobody_elses_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside two versions that always serve, another model is deployed more often than there are seats.

    Each time the new version is compared with the one that served before it, and with none that is long gone.
    """
    monkeypatch.setattr("spanward_processor.canary.seats.MOST_SEATS", 5)
    now_ns = START_NS
    pipeline = Pipeline(
        Detection(lateness_s=0.0),
        Limits(future_s=5.0),
        clock_ns=lambda: now_ns,
        monotonic_ns=lambda: now_ns,
        canary=Canary(warmup_s=0, lateness_s=0.0, vanished_s=3),
    )
    compared: set[frozenset[str]] = set()
    for deployment in range(7):
        for second in range(100):
            serving = (deployment, deployment + 1) if second < 20 else (deployment + 1,)
            spans = [("search", version) for version in "ab"] + [("router", str(version)) for version in serving]
            for model, version in spans:
                sent = [{semconv.MODEL_NAME: model, semconv.MODEL_VERSION: version}] * 5
                pipeline.acknowledge(pipeline.process(encoded(*sent, end_ns=now_ns)))
            now_ns += SECOND_NS
            pipeline.tick()
            verdicts = [one for one in pipeline.canaries.verdicts if one.canary.model == "router"]
            compared |= {frozenset((one.stable.version, one.canary.version)) for one in verdicts}

    assert compared == {frozenset((str(version), str(version + 1))) for version in range(7)}
    assert {one.canary.model for one in pipeline.canaries.verdicts} == {"search"}
