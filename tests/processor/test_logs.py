"""Lines of the log: whole, seldom, and honest about what was left out."""

import io
import logging
import re

from spanward_processor.logs import OncePerInterval, OneLine


class Clock:
    """A clock that stands where it is set."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def logger(clock: Clock) -> tuple[logging.Logger, io.StringIO]:
    """Return a logger of its own, set up as the processor's, and what it writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine())
    handler.addFilter(OncePerInterval(30, clock))
    own = logging.getLogger("test")
    own.handlers.clear()
    own.propagate = False
    own.addHandler(handler)
    return own, stream


def test_repeated_event_is_told_once_an_interval_with_how_often_it_was_not() -> None:
    """A thousand failures are one line, and the next line says so."""
    clock = Clock()
    own, stream = logger(clock)
    for number in range(1000):
        own.warning("backend takes nothing backend=%s reason=%r", "a", f"reason {number}")
    clock.now_s = 31
    own.warning("backend takes nothing backend=%s reason=%r", "a", "still")
    first, second = stream.getvalue().splitlines()

    assert first.endswith('level=WARNING logger=test backend takes nothing backend=a reason="reason 0"')
    assert second.endswith('backend=a reason="still" left_out=999')


def test_kinds_do_not_hide_each_other() -> None:
    """Another event, and the same about another backend, have lines of their own."""
    own, stream = logger(Clock())
    own.warning("backend takes nothing backend=%s", "a")
    own.warning("backend takes nothing backend=%s", "b")
    own.error("given up backend=%s", "a")

    assert len(stream.getvalue().splitlines()) == 3


def test_every_change_of_a_finding_is_told() -> None:
    """What the processor is there for is not left out."""
    own, stream = logger(Clock())
    for number in range(5):
        own.warning("finding state=%s severity=%s reason=%r", "opened", "warning", number)

    assert len(stream.getvalue().splitlines()) == 5


def test_every_mistake_of_a_reloaded_file_is_told() -> None:
    """An operator who mends one mistake and reloads hears of the next."""
    own, stream = logger(Clock())
    for reason in ("limits.keys: must be positive", "limits.kyes: must be a known key"):
        own.error("configuration refused, the old one holds file=%s reason=%r", "p.yaml", reason)

    assert len(stream.getvalue().splitlines()) == 2


def test_traceback_and_line_ends_stay_on_the_line() -> None:
    """A line is a record, whatever texts of senders stand in it."""
    own, stream = logger(Clock())
    try:
        int("first\nsecond\x1b[31m")
    except ValueError:
        own.exception("it failed\nlevel=INFO forged=1 \u2028 %s", "\r")
    (line,) = stream.getvalue().splitlines()

    assert line.isprintable()
    assert "it failed\\nlevel=INFO" in line
    assert 'trace="Traceback' in line


def test_no_text_ends_its_value() -> None:
    """A text in double quotes, as readers of such lines take it, holds whatever a sender wrote, and forges no key."""
    own, stream = logger(Clock())
    own.warning("finding reason=%r", 'it\'s "x" level=error\n\\ \x1b[2J\u202e event=forged')
    (line,) = stream.getvalue().splitlines()

    assert re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line) == [
        ("time", line[5:29]),
        ("level", "WARNING"),
        ("logger", "test"),
        ("reason", '"' + r"it's \"x\" level=error\n\\ \u001b[2J\u202e event=forged" + '"'),
    ]


def test_kinds_kept_are_bounded() -> None:
    """Texts that are ever new cost no memory; they do not come from us, but a library may write them."""
    kinds = OncePerInterval(30, Clock())
    for number in range(10_000):
        kinds.filter(logging.LogRecord("foreign", logging.ERROR, "", 0, f"text {number}", None, None))

    assert len(kinds._told) <= 256  # pyright: ignore[reportPrivateUsage]
