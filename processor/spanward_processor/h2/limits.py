"""Every bound a peer runs into, with its default, and the budget that tells a flood from traffic."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may happen: `burst` times at once, and `per_s` times a second for ever."""

    burst: float
    per_s: float


class Bounds(Protocol):
    """What a connection of either end needs of its limits."""

    @property
    def header_bytes(self) -> int:
        """Longest header list."""
        ...

    @property
    def connect_s(self) -> float:
        """Longest time to the peer's first SETTINGS."""
        ...

    @property
    def transfer_s(self) -> float:
        """Longest time for one thing to cross."""
        ...

    @property
    def keepalive_s(self) -> float:
        """Silence before a PING."""
        ...

    @property
    def keepalive_timeout_s(self) -> float:
        """Silence after it."""
        ...

    @property
    def control_frames(self) -> Rate:
        """Frames that carry no call forward."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a server.

    Args:
        message_bytes: Longest request message, as it is on the wire; a longer one is answered RESOURCE_EXHAUSTED.
        header_bytes: Longest header list, compressed or not.
        streams_per_connection: Calls at once on one connection; answered calls do not count.
        connections: Connections at once; further ones are closed at once.
        buffered_bytes: Messages of all connections together, from their first byte to their answer; beyond it calls are
            answered by the server's `busy`.
        connection_bytes: The same for one connection, so that one peer cannot use up what is for all.
        connect_s: Longest time for the TLS handshake, and again from there to the peer's SETTINGS, seconds.
        transfer_s: Longest time for one header block, one request message or one reply to cross, seconds.
        idle_s: Longest time without a call before a connection is told to go, seconds.
        keepalive_s: Silence after which the peer is asked for a sign of life, seconds.
        keepalive_timeout_s: How long it may take to give one, seconds.
        resets: Streams a peer may have reset, or forced us to reset.
        control_frames: Frames a peer may send that carry no call forward; every DATA frame in either direction earns two.
    """

    message_bytes: int = 16 * MIB
    header_bytes: int = 16 << 10
    streams_per_connection: int = 128
    connections: int = 1024
    buffered_bytes: int = 128 * MIB
    connection_bytes: int = 64 * MIB
    connect_s: float = 10.0
    transfer_s: float = 60.0
    idle_s: float = 3600.0
    keepalive_s: float = 60.0
    keepalive_timeout_s: float = 20.0
    resets: Rate = Rate(burst=500, per_s=50)
    control_frames: Rate = Rate(burst=1000, per_s=100)


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """Bounds of a client.

    Args:
        reply_bytes: Longest reply message.
        header_bytes: Longest header list of a reply, compressed or not.
        connect_s: Longest time from connecting to the server's SETTINGS, TLS included, seconds.
        transfer_s: Longest time for one header block to come, or for the server to read anything of what we send, seconds.
        keepalive_s: Silence with calls open after which the server is asked for a sign of life, seconds.
        keepalive_timeout_s: How long it may take to give one, seconds.
        control_frames: As in `Limits`.
    """

    reply_bytes: int = MIB
    header_bytes: int = 16 << 10
    connect_s: float = 10.0
    transfer_s: float = 30.0
    keepalive_s: float = 20.0
    keepalive_timeout_s: float = 20.0
    control_frames: Rate = Rate(burst=1000, per_s=100)


class Budget:
    """A token bucket.

    Args:
        rate: How fast it fills and how much it holds.
        clock: Monotonic time, seconds.
    """

    __slots__ = ("_at", "_clock", "_left", "_rate")

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._left = rate.burst
        self._at = clock()

    def spend(self) -> bool:
        """Take one; False when there is none."""
        now = self._clock()
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earn(self, tokens: float) -> None:
        """Put some back for work that was real."""
        self._left = min(self._rate.burst, self._left + tokens)


class Buffered:
    """Bytes of messages that are held at the moment: of one connection, or of all.

    Args:
        limit: Most there may be.
    """

    __slots__ = ("_limit", "bytes")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.bytes = 0

    def take(self, more: int) -> bool:
        """Count `more` bytes as held; False, and nothing is counted, when they do not fit."""
        if self.bytes + more > self._limit:
            return False
        self.bytes += more
        return True

    def give_back(self, held: int) -> None:
        """Count bytes as no longer held."""
        self.bytes -= held
