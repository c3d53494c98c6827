"""What all connections of a server share, and a handler under guard: whatever it does, each of its calls gets an answer."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from spanward_processor.h2.call import Answer, Handler, Peer, Status
from spanward_processor.h2.limits import Budget, Buffered, Limits
from spanward_processor.h2.replies import Replies

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Service:
    """What all connections of a server share.

    Args:
        handler: Answers calls; may be exchanged, the next call goes to the new one.
        limits: Bounds.
        busy: Builds the answer for a call there is no room for, from the reason.
        replies: Encodes answers.
        buffered: Bytes held over all connections.
        failures: How often a failing handler is logged.
        clock: Monotonic time, seconds.
    """

    handler: Handler
    limits: Limits
    busy: Callable[[str], Answer]
    replies: Replies
    buffered: Buffered
    failures: Budget
    clock: Callable[[], float]

    def turn_away(self, path: str, headers: Mapping[str, str], peer: Peer) -> Answer | None:
        """Ask the handler about a call whose message has not come; return the answer that refuses it, if there is one."""
        try:
            return self.handler.open(path, headers, peer)
        except Exception:  # noqa: BLE001 - whatever it is, it must not reach the connection
            return self.failure(path)

    def answer_of(self, done: asyncio.Future[Answer], path: str) -> Answer:
        """Return the answer that the handler has come to."""
        try:
            return _checked(done.result())
        except asyncio.CancelledError:
            return Answer(status=Status.UNAVAILABLE, message="the call was given up")
        except Exception:  # noqa: BLE001 - whatever it is, it must not reach the event loop
            return self.failure(path)

    def failure(self, path: str) -> Answer:
        """Return the answer to a call whose handler failed; call it where the exception is handled, for the log."""
        if self.failures.spend():
            _log.exception("gRPC handler failed path=%r", path[:256])
        return Answer(status=Status.INTERNAL, message="the handler failed")


def _checked(answer: object) -> Answer:
    if not isinstance(answer, Answer):
        raise TypeError(f"a handler must return an Answer, got {type(answer).__name__}")
    return answer
