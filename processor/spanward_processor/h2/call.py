"""What crosses the border of this package: a call, its answer, and who is at the other end."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Status(IntEnum):
    """gRPC's status codes.

    Source: gRPC documentation, "Status codes and their use in gRPC".
    """

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection.

    Args:
        address: Its IP address without the port; empty for a Unix socket.
        certificate: Subject of its verified certificate, like `CN=sender,O=shop`; empty without one.
    """

    address: str
    certificate: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One unary call, whole.

    Args:
        path: `/package.Service/Method`.
        headers: Request headers in lower case, pseudo-headers left out; repeated ones joined with a comma.
        body: The message, without gRPC's prefix.
        compressed: Whether the message is compressed; how is in `headers["grpc-encoding"]`.
        peer: Who sent it.
        timeout_s: How long the sender waits, seconds; None for ever.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    compressed: bool
    peer: Peer
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended.

    Args:
        body: The reply message; not sent with a status other than OK.
        status: A gRPC status code; unknown ones from a server are kept as they came.
        message: For a person.
        details: An encoded `google.rpc.Status`, as `grpc-status-details-bin` carries it; empty for none.
    """

    body: bytes = b""
    status: int = Status.OK
    message: str = ""
    details: bytes = b""


class Handler(Protocol):
    """What a server calls."""

    def open(self, path: str, headers: Mapping[str, str], peer: Peer) -> Answer | None:
        """Look at a call before its message comes; an answer refuses it at once."""
        ...

    def __call__(self, call: Call) -> Answer | Awaitable[Answer]:
        """Answer a call, now or later."""
        ...
