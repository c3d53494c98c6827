"""Requests that come together are taken as one, and each sender gets an answer of its own."""

import asyncio
from collections.abc import Sequence

import pytest

from spanward_processor.decode import UndecodableError
from spanward_processor.pruning import MixedError
from spanward_processor.receive.joining import MOST_BYTES, Joiner


class Taker:
    """Remembers what it was given as one; refuses what holds `bad` or `full`, and `mixed` among others."""

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
            raise RuntimeError("no room")
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
