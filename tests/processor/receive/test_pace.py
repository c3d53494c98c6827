"""When a request is worked on: a part of each turn of the event loop, in order, and not when it waited too long."""

import asyncio
from collections.abc import Callable

import pytest

from spanward_processor.receive.admission import BusyError
from spanward_processor.receive.pace import Pace


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time, seconds."""
        return self.now_s


class Requests:
    """Requests that take a while each, and what became of them.

    Args:
        clock: Moved by what each takes.
        takes_s: How long each takes, seconds.
    """

    def __init__(self, clock: Clock, takes_s: float) -> None:
        self.pace = Pace(turn_s=0.005, most_wait_s=0.25, monotonic_s=clock)
        self.done: list[int] = []
        self.refused: list[tuple[int, str]] = []
        self._came = 0
        self._clock = clock
        self._takes_s = takes_s

    def _work(self, number: int) -> Callable[[], None]:
        def work() -> None:
            self._clock.now_s += self._takes_s
            self.done.append(number)

        return work

    def come(self, number: int) -> None:
        """Work on a request at once where there is time, else let it wait."""
        self._came += 1
        if self.pace.is_free():
            self._work(number)()
        else:
            self.pace.line_up(self._work(number), lambda error: self.refused.append((number, str(error))))

    async def come_beside(self, number: int, other: int) -> None:
        """Work on a request, and on another one whose coroutine waits for its turn."""
        self.come(number)
        await self.pace.turn()
        self._came += 1
        self._work(other)()

    async def until_nobody_waits(self) -> int:
        """Return how many turns of the event loop it took until each that came was worked on or refused."""
        turns = 0
        while len(self.done) + len(self.refused) < self._came:
            await asyncio.sleep(0)
            turns += 1
        return turns


def test_a_turn_ends_and_the_rest_waits_in_order() -> None:
    """Two requests of 3 ms fill a turn of 5; the others wait, and those that come later do not overtake them."""

    async def run() -> None:
        requests = Requests(Clock(), 0.003)
        for number in range(6):
            requests.come(number)
        assert requests.done == [0, 1]
        await asyncio.sleep(0)
        requests.come(6)
        assert requests.done == [0, 1, 2, 3]
        await requests.until_nobody_waits()
        assert requests.done == list(range(7))

    asyncio.run(run())


def test_others_have_their_turns_meanwhile() -> None:
    """Ten requests that fill a turn each leave the event loop to others ten times."""

    async def run() -> None:
        requests = Requests(Clock(), 0.01)
        for number in range(10):
            requests.come(number)
        assert await requests.until_nobody_waits() == 9

    asyncio.run(run())


def test_what_waits_too_long_is_asked_to_come_back() -> None:
    """Beyond the limit nothing is done for a request but to refuse it, however many there are."""

    async def run() -> None:
        requests = Requests(Clock(), 0.1)
        for number in range(8):
            requests.come(number)
        await requests.until_nobody_waits()
        assert requests.done == [0, 1, 2, 3]
        assert [number for number, _ in requests.refused] == [4, 5, 6, 7]
        assert requests.refused[0][1].endswith("this one has waited 0.30 s")

    asyncio.run(run())


def test_pauses_count_for_nobody() -> None:
    """Who comes after a pause is worked on at once."""

    async def run() -> None:
        clock = Clock()
        requests = Requests(clock, 0.003)
        for number in range(3):
            requests.come(number)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            clock.now_s += 1.0
        assert requests.done == [0, 1, 2]

    asyncio.run(run())


def test_a_coroutine_waits_in_the_same_line() -> None:
    """Its work is done before the next in line begins, though it is done in a later callback."""

    async def run() -> None:
        requests = Requests(Clock(), 0.006)
        alone = asyncio.create_task(requests.come_beside(0, 1))
        await asyncio.sleep(0)
        requests.come(2)
        await alone
        await requests.until_nobody_waits()
        assert requests.done == [0, 1, 2]

    asyncio.run(run())


def test_a_coroutine_that_waits_too_long_is_told() -> None:
    """It gets the same error."""

    async def run() -> None:
        clock = Clock()
        requests = Requests(clock, 0.006)
        alone = asyncio.create_task(requests.come_beside(0, 1))
        await asyncio.sleep(0)
        clock.now_s += 0.3
        with pytest.raises(BusyError, match=r"this one has waited 0\.3"):
            await alone

    asyncio.run(run())


def test_a_coroutine_that_is_cancelled_leaves_the_line_to_others() -> None:
    """Who comes after it has its turn all the same."""

    async def run() -> None:
        requests = Requests(Clock(), 0.006)
        alone = asyncio.create_task(requests.come_beside(0, 1))
        await asyncio.sleep(0)
        alone.cancel()
        requests.come(2)
        await requests.until_nobody_waits()
        assert requests.done == [0, 2]

    asyncio.run(run())
