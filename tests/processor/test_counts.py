"""What is said to be forwarded while backends come and go."""

from collections.abc import Sequence

from spanward_processor.counts import Forwarded
from spanward_processor.exporters.base import Taken
from spanward_processor.forward.backends import Backend
from spanward_processor.signals import Encoded, Signal


class Nowhere:
    """An exporter that nothing is given to."""

    async def export(self, signal: Signal, parts: Sequence[Encoded], timeout_s: float) -> Taken:
        """Nobody calls this."""
        raise AssertionError(signal, parts, timeout_s)

    async def close(self) -> None:
        """Nothing is open."""


def backend(spans: int = 0) -> Backend:
    """Return a backend that took so many spans."""
    made = Backend("b", Nowhere(), 5.0)
    made.sent.spans = spans
    return made


def test_what_every_backend_took_is_forwarded() -> None:
    """The slowest of them says how much; without any it is nothing."""
    forwarded, fast, slow = Forwarded(), backend(), backend()
    forwarded.exchange([fast, slow], 0)
    fast.sent.spans, slow.sent.spans = 100, 40

    assert forwarded.of([fast, slow]) == 40
    assert Forwarded().of([]) == 0


def test_a_backend_that_comes_later_takes_nothing_back() -> None:
    """It has to take what comes from then on, and is behind no one for what came before."""
    forwarded, old, new = Forwarded(), backend(), backend()
    forwarded.exchange([old], 0)
    old.sent.spans = 90
    assert forwarded.of([old]) == 90

    forwarded.exchange([old, new], 100)
    assert forwarded.of([old, new]) == 90
    old.sent.spans = 160
    new.sent.spans = 50
    assert forwarded.of([old, new]) == 150


def test_nothing_falls_when_backends_go() -> None:
    """Not when the last one goes, and not when it comes again under its old name."""
    forwarded, old, again = Forwarded(), backend(), backend()
    forwarded.exchange([old], 0)
    old.sent.spans = 90
    assert forwarded.of([old]) == 90

    forwarded.exchange([], 90)
    assert forwarded.of([]) == 90
    forwarded.exchange([again], 500)  # while there was none, 410 went nowhere
    assert forwarded.of([again]) == 90
    again.sent.spans = 5
    assert forwarded.of([again]) == 95
