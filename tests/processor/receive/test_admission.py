"""How long a turn of the event loop may take before the rest of it is asked to come back."""

import asyncio

import pytest

from spanward_processor.receive.admission import BusyError, Turn


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time, seconds."""
        return self.now_s


def test_what_a_long_turn_brings_last_is_asked_to_come_back() -> None:
    """The first requests are taken, however long they take; beyond the limit none is."""

    async def run() -> None:
        clock = Clock()
        turn = Turn(0.25, clock)
        turn.check()
        clock.now_s += 0.25
        turn.check()
        clock.now_s += 0.01
        with pytest.raises(BusyError, match=r"this turn has taken 0\.26 s"):
            turn.check()

    asyncio.run(run())


def test_the_next_turn_begins_anew() -> None:
    """Time that passes between turns counts for nobody."""

    async def run() -> None:
        clock = Clock()
        turn = Turn(0.25, clock)
        for _ in range(3):
            turn.check()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            clock.now_s += 1.0
        turn.check()

    asyncio.run(run())
