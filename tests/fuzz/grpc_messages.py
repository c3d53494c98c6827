"""gRPC messages: put together from any pieces, they are what stands behind the prefix, or a fault of the peer."""

from itertools import pairwise
from random import Random
from typing import Final

from fuzz.damage import damaged
from fuzz.target import Target, choices_of
from spanward_processor.h2.call import Status
from spanward_processor.h2.grpc import Incoming, MessageFault

_LONGEST: Final = 40
_PREFIX: Final = 5  # bytes: compressed flag, length


def check(data: bytes) -> bool:
    """Feed a body in pieces and compare with what one slice of it says."""
    rng = choices_of(data)
    points = [0, *sorted(rng.randint(0, len(data)) for _ in range(rng.choice((0, 1, 4, 9)))), len(data)]
    message = Incoming(_LONGEST)
    try:
        for start, end in pairwise(points):
            message.feed(memoryview(data)[start:end])
        outcome: tuple[object, ...] = (message.compressed, message.finish())
    except MessageFault as fault:
        assert fault.status == _slow(data), str(fault)
        return False
    assert outcome == _slow(data)
    return True


def _slow(data: bytes) -> tuple[bool, bytes] | Status:
    """Return flag and message of a whole body, or the status it deserves."""
    length, body = int.from_bytes(data[1:_PREFIX], "big"), data[_PREFIX:]
    if not data:
        return Status.UNIMPLEMENTED
    if len(data) < _PREFIX:
        return Status.INTERNAL
    if data[0] > 1:
        return Status.INTERNAL
    if length > _LONGEST:
        return Status.RESOURCE_EXHAUSTED
    if len(body) > length:
        return Status.UNIMPLEMENTED
    return (data[0] == 1, body) if len(body) == length else Status.INTERNAL


def _fresh(rng: Random) -> bytes:
    body = rng.randbytes(rng.choice((0, 1, 3, 39, 40, 41)))
    return bytes([rng.choice((0, 0, 0, 1, 2))]) + len(body).to_bytes(4, "big") + body


def _mutated(data: bytes, rng: Random) -> bytes:
    return _fresh(rng) if rng.random() < 0.4 else damaged(data, rng, 2)


GRPC_MESSAGES: Final = Target("grpc_messages", _fresh, _mutated, check)
