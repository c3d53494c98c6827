"""How old the oldest waiting request is."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from spanward_processor.journal.ages import Ages
from spanward_processor.journal.log import Journal
from spanward_processor.journal.settings import Fsync, JournalSettings
from spanward_processor.signals import Signal


class Clock:
    """A clock that stands where it is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def journal(folder: Path, clock: Clock) -> Journal:
    """Open a journal of one backend."""
    return Journal(JournalSettings(folder, 1 << 20, 1 << 20, Fsync.OFF), ["b"], clock)


def test_age_is_that_of_the_oldest_request_not_taken(tmp_path: Path) -> None:
    """It grows while a request waits, and falls to that of the next once it is taken."""
    clock = Clock()
    kept = journal(tmp_path, clock)
    ages = [kept.oldest_s()]
    kept.append(Signal.TRACES, b"first")
    clock.now_s += 30
    kept.append(Signal.TRACES, b"second")
    ages.append(kept.oldest_s())
    reader = kept.reader("b")
    first, second = reader.take(1 << 20)
    reader.confirm(first.end)
    clock.now_s += 5
    ages.append(kept.oldest_s())
    reader.confirm(second.end)
    ages.append(kept.oldest_s())
    kept.close()

    assert ages == [0.0, 30.0, 5.0, 0.0]


def test_age_survives_a_restart(tmp_path: Path) -> None:
    """What an earlier process wrote is as old as the last write to its file."""
    clock = Clock()
    kept = journal(tmp_path, clock)
    kept.append(Signal.TRACES, b"first")
    kept.close()
    (segment,) = tmp_path.glob("*.segment")
    clock.now_s = segment.stat().st_mtime + 60
    again = journal(tmp_path, clock)
    age_s = again.oldest_s()
    again.close()

    assert age_s == 60.0


def test_clock_set_back_gives_no_negative_age() -> None:
    """An age is never below zero."""
    clock = Clock()
    ages = Ages(clock)
    ages.note(10)
    clock.now_s -= 500

    assert ages.oldest_s(0) == 0.0


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60), st.integers(0, 60))
def test_age_is_exact_to_the_second(pauses: list[float], confirmed: int) -> None:
    """Whatever the pauses, the age is that of the oldest record, or up to a second more."""
    clock = Clock()
    ages = Ages(clock)
    written: list[float] = []
    for number, pause_s in enumerate(pauses):
        clock.now_s += pause_s
        ages.note(number + 1)
        written.append(clock.now_s)
    exact = clock.now_s - written[confirmed] if confirmed < len(written) else 0.0

    assert exact <= ages.oldest_s(confirmed) <= exact + 1.0 or confirmed >= len(written)
    assert confirmed < len(written) or ages.oldest_s(confirmed) == 0.0


def test_marks_are_bounded() -> None:
    """A backend that is away for days costs no memory; the oldest record's age stays exact."""
    clock = Clock()
    ages = Ages(clock)
    for number in range(100_000):
        clock.now_s += 2
        ages.note(number + 1)

    assert len(ages._marks) <= 1024  # pyright: ignore[reportPrivateUsage]
    assert ages.oldest_s(0) == 2 * 99_999
