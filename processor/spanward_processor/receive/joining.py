"""Requests that come together are taken as one, as far as they are not large.

What a request costs beside its spans is the same for one span as for hundreds. Encoded export requests may be joined byte by
byte, since their only field is repeated; each sender still gets an answer of its own.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from spanward_processor.decode import UndecodableError
from spanward_processor.forward.delivery import RefusedError
from spanward_processor.pruning import MixedError

MOST_BYTES: Final = 640 << 10
"""Bytes of requests taken as one: a thousand spans, a millisecond and a half."""

WAIT_S: Final = 0.002
"""Longest wait for requests that lately came together, seconds."""

_Group = Sequence[tuple[bytes, asyncio.Future[bytes]]]

_REMEMBERED_S: Final = 0.02  # how long ago "lately" is; who sends alone by then waits no more


class Joiner:
    """Collects requests until the event loop has handled all that was ready to be read.

    Senders that wait for their answers send the next requests at about the same time, but not in the same turn. So for a
    moment as many are awaited as came together shortly before. One sender alone never waits.

    Args:
        take: Takes an encoded request, and whether it is joined; raises what its senders shall be told.
    """

    def __init__(self, take: Callable[[bytes, bool], bytes]) -> None:
        self._take = take
        self._waiting: list[tuple[bytes, asyncio.Future[bytes]]] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None  # while more are awaited
        self._together = 1  # requests that were lately taken as one, and when, on the event loop's clock
        self._together_at = 0.0

    def add(self, payload: bytes) -> asyncio.Future[bytes]:
        """Let a request wait for those that come with it; return what will be answered.

        As much as may be taken as one is taken here and now, so that whoever hands requests over sees the time that it takes.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        if self._waiting and self._bytes + len(payload) > MOST_BYTES:
            self._take_all(loop)
        self._waiting.append((payload, answer))
        self._bytes += len(payload)
        if self._bytes >= MOST_BYTES:
            self._take_all(loop)
        elif len(self._waiting) == 1:
            loop.call_soon(self._end_turn, loop)
        elif self._timer is not None and self._is_complete():
            self._timer.cancel()
            self._timer = None
            loop.call_soon(self._end_turn, loop)  # with what else this turn brings
        return answer

    def _is_complete(self) -> bool:
        return len(self._waiting) >= self._together

    def _end_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting or self._timer is not None:
            return
        if loop.time() - self._together_at > _REMEMBERED_S:
            self._together = 1
        if self._is_complete():
            self._take_all(loop)
        else:
            self._timer = loop.call_later(WAIT_S, self._take_all, loop)

    def _take_all(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting, self._bytes, self._timer = self._waiting, [], 0, None
        if len(waiting) >= self._together:
            self._together, self._together_at = len(waiting), loop.time()
        self._take_group(waiting)

    def _take_group(self, group: _Group) -> None:
        try:
            if len(group) > 1:
                reply = self._take(b"".join([payload for payload, _ in group]), True)
            else:
                reply = self._take(group[0][0], False)
        except (UndecodableError, MixedError) as error:
            self._take_apart(group, error)
        except RefusedError as error:
            _fail(group, _bare(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            _fail(group, error)
        else:
            for _, answer in group:
                if not answer.done():
                    answer.set_result(reply)

    def _take_apart(self, group: _Group, error: Exception) -> None:
        """Take each alone, so that only the one at fault is refused, or told what of it is."""
        if len(group) == 1:
            _fail(group, _bare(error))
            return
        for one in group:
            self._take_group([one])


def _fail(group: _Group, error: Exception) -> None:
    for _, answer in group:
        if not answer.done():
            answer.set_exception(error)


def _bare(error: Exception) -> Exception:
    """Return an error that nobody will look into without the frames it came through.

    They hold the requests, and the answers that hold the error: such a circle stays until the collector finds it, and the
    collector counts objects, not bytes.
    """
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
