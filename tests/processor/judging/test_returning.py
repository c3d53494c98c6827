"""What comes back soon after it ended has to stay away for longer."""

import pytest

from spanward_processor.judging import returning
from spanward_processor.judging.returning import CALM_WINDOWS, Returning, back, calm_windows

MINUTE_NS = 60 * 1_000_000_000
NOW_NS = 1_700_000_000 * 1_000_000_000
STREAM = 17


@pytest.mark.parametrize(("later_ns", "returns"), [(0, 1), (60 * MINUTE_NS, 1), (61 * MINUTE_NS, 0)])
def test_soon_is_an_hour(later_ns: int, returns: int) -> None:
    """A finding that opens within an hour of its end has come back; later it begins anew, and one about another stream always does."""
    remembered = Returning()
    remembered.note(STREAM, 0, NOW_NS)

    assert remembered.returns(STREAM, NOW_NS + later_ns) == returns
    assert remembered.returns(STREAM + 1, NOW_NS + later_ns) == 0


def test_returns_add_up_over_a_restart() -> None:
    """Each return counts on, also in the next process."""
    first, second = Returning(), Returning()
    first.note(STREAM, 2, NOW_NS)
    second.restore(first.arrays())

    assert second.returns(STREAM, NOW_NS + MINUTE_NS) == 3


def test_the_time_doubles_up_to_a_quarter_of_an_hour() -> None:
    """Three windows, six, twelve; from the fifth return on 96, sixteen minutes of ten seconds each."""
    assert [calm_windows(returns) for returns in (0, 1, 2, 5, 6, 1000)] == [CALM_WINDOWS, 6, 12, 96, 96, 96]


def test_it_is_said_of_what_came_back_alone() -> None:
    """The sentence tells how often, and what it takes to end."""
    assert back(0) == ""
    assert back(1) == " It came back once, within an hour of its end, so it now ends after 6 usual windows."
    assert "came back 3 times" in back(3)


def test_ends_of_many_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end that was longest ago is forgotten first."""
    monkeypatch.setattr(returning, "_MOST", 2)
    remembered = Returning()
    for stream in (1, 2, 1, 3):
        remembered.note(stream, 0, NOW_NS)

    assert [remembered.returns(stream, NOW_NS) for stream in (1, 2, 3)] == [1, 0, 1]
