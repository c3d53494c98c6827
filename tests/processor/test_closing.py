"""Closing in reverse: every step runs, and errors are told together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from spanward_processor.closing import Closing


def steps(done: list[str], *failing: str) -> Closing:
    """Return the closing of a, b and c, opened in that order; the failing ones raise."""
    closing = Closing()
    for name in "abc":
        closing.add(name, _step(name, done, fails=name in failing))
    return closing


def _step(name: str, done: list[str], *, fails: bool) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        done.append(name)
        if fails:
            raise OSError(f"{name} is broken")

    return close


def test_what_was_opened_last_is_closed_first() -> None:
    """The order is the reverse of opening."""
    done: list[str] = []
    asyncio.run(steps(done).close())

    assert done == ["c", "b", "a"]


def test_every_step_runs_and_all_errors_are_told() -> None:
    """Two of three fail: the third is closed, and both failures are raised with the part they belong to."""
    done: list[str] = []
    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(steps(done, "a", "c").close())

    assert done == ["c", "b", "a"]
    assert [(str(error), error.__notes__) for error in raised.value.exceptions] == [
        ("c is broken", ["while closing c"]),
        ("a is broken", ["while closing a"]),
    ]


def test_closing_twice_does_nothing_the_second_time() -> None:
    """Each step runs once."""
    done: list[str] = []

    async def run() -> None:
        closing = steps(done)
        await closing.close()
        await closing.close()

    asyncio.run(run())

    assert done == ["c", "b", "a"]


def test_giving_up_logs_what_fails(caplog: pytest.LogCaptureFixture) -> None:
    """After a failed start its own error counts; that of closing is in the log."""
    done: list[str] = []
    with caplog.at_level(logging.ERROR):
        asyncio.run(steps(done, "b").give_up())

    assert done == ["c", "b", "a"]
    assert "b is broken" in caplog.text
