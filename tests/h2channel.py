"""A channel of ours against scripted servers: what both of them say, byte by byte."""

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import h2raw
from spanward_processor.h2.call import Answer
from spanward_processor.h2.client import GrpcChannel
from spanward_processor.h2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    frame,
)

WORD = struct.Struct(">I")
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]


def setting(name: int, value: int) -> bytes:
    """Return one of the settings that a SETTINGS frame has."""
    return struct.pack(">HI", name, value)


def reply(stream: int, body: bytes = b"", status: str = "0") -> bytes:
    """Return a whole answer."""
    return (
        h2raw.headers(stream, HEAD)
        + frame(DATA, 0, stream, h2raw.message(body))
        + h2raw.headers(stream, [("grpc-status", status)], END_HEADERS | END_STREAM)
    )


def request(raw: h2raw.Raw) -> tuple[int, bytes]:
    """Return stream and message of the next request."""
    body = b""
    while True:
        _, flags, stream, payload = raw.until(DATA)
        body += payload
        if flags & END_STREAM:
            return stream, body[5:]


def until_closed(raw: h2raw.Raw) -> None:
    """Read until the client goes."""
    while raw.frame() is not None:
        pass


def serve(raw: h2raw.Raw) -> None:
    """Answer one call, and wait for the client to go."""
    stream, body = request(raw)
    raw.send(reply(stream, body))
    until_closed(raw)


def with_channel(port: int, use: Callable[[GrpcChannel], Coroutine[Any, Any, h2raw.T]], **options: Any) -> h2raw.T:
    """Use a channel in an event loop of its own, where nothing may go unhandled; return what came of it."""

    async def main() -> h2raw.T:
        unhandled: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        channel = GrpcChannel("127.0.0.1", port, **options)
        try:
            return await use(channel)
        finally:
            await channel.close()
            assert unhandled == []

    return asyncio.run(main())


def call(port: int, body: bytes = b"body", timeout_s: float = 10.0, **options: Any) -> Answer:
    """Return the answer to one call on a channel of its own."""
    return with_channel(port, lambda channel: channel.call(h2raw.ECHO, body, timeout_s=timeout_s), **options)


def answered_with(*sent: bytes) -> Answer:
    """Return what a call makes of the bytes a server answers with."""

    def script(raw: h2raw.Raw) -> None:
        request(raw)
        raw.send(b"".join(sent))
        until_closed(raw)

    with h2raw.scripted(script) as port:
        return call(port)
