"""A backend in a process of its own: counts marked requests, and becomes slow or quick when it is told to.

SIGUSR1 makes each answer take half a second, SIGUSR2 none. It prints its port at start, and at SIGTERM how often each mark came.
"""

import asyncio
import json
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable
from typing import Any

from crashing import METHOD
from spanward_processor.h2.call import Answer, Call, Peer, Status
from spanward_processor.h2.limits import Limits
from spanward_processor.h2.server import GrpcServer

SLOW_S = 0.5
_MARK = re.compile(rb"request-(\d{4})")


class Sink:
    """Takes traces."""

    def __init__(self) -> None:
        self.arrived: Counter[int] = Counter()
        self.delay_s = 0.0

    def open(self, path: str, headers: Any, peer: Peer) -> Answer | None:
        """Take no other signals than traces."""
        return None if path == METHOD else Answer(status=Status.UNIMPLEMENTED)

    def __call__(self, call: Call) -> Answer | Awaitable[Answer]:
        """Count, and answer when it pleases."""
        self.arrived.update(map(int, _MARK.findall(call.body)))
        return self._later() if self.delay_s else Answer(b"")

    async def _later(self) -> Answer:
        await asyncio.sleep(self.delay_s)
        return Answer(b"")

    def become(self, delay_s: float) -> None:
        """Let each answer take so long."""
        self.delay_s = delay_s


async def main() -> None:
    """Serve until SIGTERM."""
    sink, stop, loop = Sink(), asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, sink.become, SLOW_S)
    loop.add_signal_handler(signal.SIGUSR2, sink.become, 0.0)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    bound = socket.create_server(("127.0.0.1", 0))
    server = GrpcServer(sink, Limits(message_bytes=64 << 20))
    await server.start(bound)
    print(bound.getsockname()[1], flush=True)
    await stop.wait()
    await server.stop(0.1)
    json.dump(sink.arrived, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
