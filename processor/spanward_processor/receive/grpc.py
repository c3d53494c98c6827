"""OTLP over gRPC: a call in, an honest answer out.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/gRPC".
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Final

from spanward_processor.h2.call import Answer, Call, Peer
from spanward_processor.receive.admission import BusyError
from spanward_processor.receive.compression import decompress
from spanward_processor.receive.gate import Gate
from spanward_processor.receive.intake import Intake
from spanward_processor.receive.turned import Turned, turned_of
from spanward_processor.signals import Signal
from spanward_processor.status import Code, encoded

ENCODINGS: Final = ("identity", "gzip", "deflate", "zstd")

_SIGNALS: Final = {f"/{signal.service}/Export": signal for signal in Signal}


@dataclass(frozen=True, slots=True)
class GrpcReceiver:
    """Answers calls of the three export services.

    Args:
        intake: Takes requests.
        gate: Decides who may send.
        most_bytes: Largest message, decompressed, bytes.
        most_ratio: Largest ratio of a message to its compressed form.
    """

    intake: Intake
    gate: Gate
    most_bytes: int
    most_ratio: float

    def open(self, path: str, headers: Mapping[str, str], peer: Peer) -> Answer | None:
        """Refuse a call before its message is read, or let it come."""
        if path not in _SIGNALS:
            return Answer(status=Code.UNIMPLEMENTED, message=f"path: must be an OTLP export method, got {path[:100]}")
        turned = self.gate.turn_away(headers, peer.address)
        return None if turned is None else answer_to(turned)

    def __call__(self, call: Call) -> Answer | Awaitable[Answer]:
        """Take a message, at once or when its turn has come."""
        return self._take(call) if self.intake.is_free() else self._in_line(call)

    def _in_line(self, call: Call) -> asyncio.Future[Answer]:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def pass_on(done: asyncio.Future[Answer]) -> None:
            if done.cancelled():
                answer.cancel()  # the event loop ends
            elif not answer.done():
                answer.set_result(done.result())

        def go() -> None:
            taken = self._take(call)
            if not isinstance(taken, Answer):
                asyncio.ensure_future(taken).add_done_callback(pass_on)
            elif not answer.done():
                answer.set_result(taken)

        def refuse(error: BusyError) -> None:
            if not answer.done():
                answer.set_result(answer_to(turned_of(error)))

        self.intake.line_up(go, refuse)
        return answer

    def _take(self, call: Call) -> Answer | Awaitable[Answer]:
        try:
            payload = self._message(call)
            taken = self.intake.take(_SIGNALS[call.path], payload, call.timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender gets an answer it may come back from
            return answer_to(turned_of(error))
        if isinstance(taken, bytes):
            return Answer(taken)
        return _translated(taken) if isinstance(taken, asyncio.Future) else _answered(taken)

    def _message(self, call: Call) -> bytes:
        if not call.compressed:
            return call.body
        return decompress(call.headers.get("grpc-encoding", "identity"), call.body, self.most_bytes, self.most_ratio)


def _translated(taken: asyncio.Future[bytes]) -> asyncio.Future[Answer]:
    """Return the future answer of a future reply, without a task of its own."""
    answer: asyncio.Future[Answer] = taken.get_loop().create_future()

    def translate(done: asyncio.Future[bytes]) -> None:
        error = done.exception()
        if not answer.done():
            answer.set_result(Answer(done.result()) if error is None else answer_to(turned_of(error)))

    taken.add_done_callback(translate)
    return answer


async def _answered(taken: Awaitable[bytes]) -> Answer:
    try:
        return Answer(await taken)
    except Exception as error:  # noqa: BLE001 - as above
        return answer_to(turned_of(error))


def answer_to(turned: Turned) -> Answer:
    """Return the answer to a request that is not taken."""
    details = encoded(turned.code, turned.message, turned.retry_s) if turned.retry_s is not None else b""
    return Answer(status=turned.code, message=turned.message, details=details)
