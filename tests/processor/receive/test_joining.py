"""Requests that come together are taken as one, and each sender gets an answer of its own."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Sequence

import pytest

from spanward_processor.decode import UndecodableError
from spanward_processor.forward.delivery import RefusedError
from spanward_processor.pruning import MixedError
from spanward_processor.receive.joining import MOST_BYTES, WAIT_S, Joiner


class Taker:
    """Remembers what it was given as one; refuses what holds `bad`, `full` or `broken`, and `mixed` among others."""

    def __init__(self) -> None:
        self.groups: list[bytes] = []

    def __call__(self, payload: bytes, joined: bool) -> bytes:
        """Take a request."""
        self.groups.append(payload)
        if b"bad" in payload:
            raise UndecodableError("malformed")
        if b"mixed" in payload and joined:
            raise MixedError
        if b"full" in payload:
            raise RefusedError("no room", for_good=False)
        if b"broken" in payload:
            raise RuntimeError("not foreseen")
        return b"reply"


def answers(taker: Taker, payloads: Sequence[bytes]) -> list[bytes | BaseException]:
    """Hand requests over in one turn of the event loop; return what each sender is told."""

    async def run() -> list[bytes | BaseException]:
        joiner = Joiner(taker)
        return await asyncio.gather(*[joiner.add(payload) for payload in payloads], return_exceptions=True)

    return asyncio.run(run())


def test_requests_of_one_turn_are_taken_as_one_in_order() -> None:
    """Three requests cost one pass, and each is answered."""
    taker = Taker()

    assert answers(taker, [b"a", b"b", b"c"]) == [b"reply"] * 3
    assert taker.groups == [b"abc"]


def test_requests_of_different_turns_are_taken_apart() -> None:
    """Nothing waits for a request that is not there yet."""
    taker = Taker()

    async def run() -> None:
        joiner = Joiner(taker)
        assert await joiner.add(b"a") == b"reply"
        assert await joiner.add(b"b") == b"reply"

    asyncio.run(run())
    assert taker.groups == [b"a", b"b"]


class StandingClock(asyncio.SelectorEventLoop):
    """An event loop whose time goes on only when it is told to."""

    now_s = 0.0

    def time(self) -> float:
        """Return the loop's time, seconds."""
        return self.now_s


def with_pair_before(story: Callable[[Joiner, StandingClock], Awaitable[None]]) -> list[bytes]:
    """Tell what was taken as one where two requests had come together, and then something else happens."""
    taker = Taker()
    clock = StandingClock()

    async def run() -> None:
        joiner = Joiner(taker)
        await asyncio.gather(joiner.add(b"a"), joiner.add(b"b"))
        await story(joiner, clock)

    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        runner.run(run())
    return taker.groups


def test_as_many_are_awaited_as_came_together_before() -> None:
    """The next requests of the same senders come in different turns."""

    async def story(joiner: Joiner, _: StandingClock) -> None:
        first = joiner.add(b"c")
        for _turn in range(3):
            await asyncio.sleep(0)
        assert not first.done()
        await asyncio.gather(first, joiner.add(b"d"))

    assert with_pair_before(story) == [b"ab", b"cd"]


def test_who_is_awaited_in_vain_is_not_awaited_for_long() -> None:
    """A sender that comes no more delays the other by two milliseconds."""

    async def story(joiner: Joiner, clock: StandingClock) -> None:
        alone = joiner.add(b"c")
        await asyncio.sleep(0)
        assert not alone.done()
        clock.now_s += WAIT_S
        await alone

    assert with_pair_before(story) == [b"ab", b"c"]


def test_who_came_together_long_ago_is_not_awaited() -> None:
    """A sender that is alone by now is answered at once."""

    async def story(joiner: Joiner, clock: StandingClock) -> None:
        clock.now_s += 1.0
        await joiner.add(b"c")
        await joiner.add(b"d")

    assert with_pair_before(story) == [b"ab", b"c", b"d"]


def test_nobody_is_awaited_once_there_are_many_bytes() -> None:
    """What is full goes on, though a third sender is awaited."""
    taker = Taker()
    clock = StandingClock()

    async def run() -> None:
        joiner = Joiner(taker)
        await asyncio.gather(*[joiner.add(b"x") for _ in range(3)])
        half = bytes(MOST_BYTES // 2)
        await asyncio.gather(joiner.add(half), joiner.add(half))

    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        runner.run(run())
    assert [len(group) for group in taker.groups] == [3, MOST_BYTES]


def test_what_is_full_is_taken_before_the_turn_ends() -> None:
    """Whoever hands over more than may be taken as one sees how long that takes; what is left over waits as ever."""
    taker = Taker()
    half = bytes(MOST_BYTES // 2)

    async def run() -> None:
        joiner = Joiner(taker)
        told = [joiner.add(half) for _ in range(5)]
        assert [len(group) for group in taker.groups] == [MOST_BYTES, MOST_BYTES]
        await asyncio.gather(*told)

    asyncio.run(run())
    assert [len(group) for group in taker.groups] == [MOST_BYTES, MOST_BYTES, MOST_BYTES // 2]


def test_no_group_is_larger_than_may_be_taken_as_one() -> None:
    """A request for which there is no room begins a group of its own, which others may join."""
    taker = Taker()
    large, small = bytes(MOST_BYTES * 2 // 3), bytes(MOST_BYTES // 6)

    assert answers(taker, [large, large, small]) == [b"reply"] * 3
    assert [len(group) for group in taker.groups] == [len(large), len(large) + len(small)]


def test_a_malformed_request_refuses_only_itself() -> None:
    """Its neighbours are taken, each once, in order."""
    taker = Taker()

    told = answers(taker, [b"a", b"bad", b"c"])

    assert [isinstance(each, UndecodableError) for each in told] == [False, True, False]
    assert taker.groups[1:] == [b"a", b"bad", b"c"]


def test_a_request_that_is_taken_in_part_is_taken_alone() -> None:
    """What is refused of it is told to its sender only."""
    taker = Taker()

    assert answers(taker, [b"a", b"mixed", b"c"]) == [b"reply"] * 3
    assert taker.groups[1:] == [b"a", b"mixed", b"c"]


def test_a_malformed_request_alone_is_looked_at_once() -> None:
    """There is nothing to take apart."""
    taker = Taker()

    assert isinstance(answers(taker, [b"bad"])[0], UndecodableError)
    assert taker.groups == [b"bad"]


def test_a_failure_reaches_every_sender() -> None:
    """When the journal is full nobody is told OK."""
    told = answers(Taker(), [b"a", b"full", b"c"])

    assert [str(each) for each in told] == ["no room"] * 3


def test_a_failure_that_nobody_foresaw_keeps_where_it_came_from() -> None:
    """The log needs it."""
    told = answers(Taker(), [b"broken"])

    assert isinstance(told[0], RuntimeError)
    assert told[0].__traceback__ is not None


@pytest.mark.parametrize("payload", [b"full", b"bad"])
def test_a_refusal_holds_no_request(payload: bytes) -> None:
    """Once a sender was told, nothing of its request waits for the collector, which may not come for thousands of requests."""

    async def run() -> bool:
        joiner = Joiner(Taker())
        answer = joiner.add(payload)
        await asyncio.wait([answer])
        assert answer.exception() is not None
        gone = weakref.ref(answer)
        del answer
        return gone() is None

    gc.disable()
    try:
        assert asyncio.run(run())
    finally:
        gc.enable()


def test_what_is_taken_as_one_is_bounded_in_bytes() -> None:
    """A burst is taken in several groups, none above the bound, nothing left out or moved."""
    taker = Taker()
    payloads = [bytes([each]) * (MOST_BYTES // 4 + 1) for each in range(10)]

    assert answers(taker, payloads) == [b"reply"] * 10
    assert max(map(len, taker.groups)) <= MOST_BYTES
    assert b"".join(taker.groups) == b"".join(payloads)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_sender_that_went_away_disturbs_no_other(gone: int) -> None:
    """A cancelled call's request is taken all the same, and the other is answered."""
    taker = Taker()

    async def run() -> None:
        joiner = Joiner(taker)
        waiting = [joiner.add(b"a"), joiner.add(b"b")]
        waiting[gone].cancel()
        assert await waiting[1 - gone] == b"reply"

    asyncio.run(run())
    assert taker.groups == [b"ab"]
