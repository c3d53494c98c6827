"""Something that lives in an event loop, kept alive beside a test that has none: in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def beside(make: Callable[[], AbstractAsyncContextManager[T]]) -> Generator[T]:
    """Enter an async context manager in another thread, and leave it there at the end; yield what it gives.

    Args:
        make: Makes it, inside its event loop.
    """
    given: list[T] = []
    started, stop = threading.Event(), threading.Event()
    failure: list[BaseException] = []

    async def live() -> None:
        async with make() as one:
            given.append(one)
            started.set()
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failure.append(error)
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        if given:
            yield given[0]
    finally:
        stop.set()
        thread.join()
    if failure:
        raise failure[0]
