"""What the processor logs: a line for each kind of event and interval, each line whole.

A kind is where a record comes from and the text it is formatted with; what stands first in it, such as a backend's name, tells two
kinds apart. So nothing a sender does, however often, makes more than a line in a while, whichever library notices it.
"""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TextIO

_EVERY_S: Final = 30.0
_MOST_KINDS: Final = 256
_ALWAYS_TOLD: Final = ("finding ", "configuration ")
"""How lines begin that no sender can cause: those about changes of findings, and answers to an operator who reloads."""

_FORMAT: Final = "time=%(asctime)s.%(msecs)03dZ level=%(levelname)s logger=%(name)s %(message)s"

_Kind = tuple[str, object, object]


def printable(text: str) -> str:
    """Return a text with what cannot be printed escaped: line ends, control characters, changes of direction."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class _Quoted(str):
    """A text that `%r` writes in double quotes, as readers of `key=value` lines expect; in single ones it would end at a space."""

    __slots__ = ()

    def __repr__(self) -> str:
        return json.dumps(self, ensure_ascii=False)


class OncePerInterval(logging.Filter):
    """Lets the first record of each kind through, then one in each interval, which says how many were left out.

    Args:
        every_s: The interval, seconds.
        monotonic_s: Returns a clock that never steps, seconds.
    """

    def __init__(self, every_s: float = _EVERY_S, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._monotonic_s = monotonic_s
        self._told: OrderedDict[_Kind, tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written."""
        text = str(record.msg)
        if record.levelno < logging.WARNING or text.startswith(_ALWAYS_TOLD):
            return True
        first = record.args[0] if isinstance(record.args, tuple) and record.args else None
        kind = (record.name, text, first if isinstance(first, str) else None)
        now_s = self._monotonic_s()
        told_s, left_out = self._told.get(kind, (float("-inf"), 0))
        if now_s - told_s < self._every_s:
            self._told[kind] = told_s, left_out + 1
            return False
        self._told[kind] = now_s, 0
        self._told.move_to_end(kind)
        if len(self._told) > _MOST_KINDS:
            self._told.popitem(last=False)
        record.left_out = left_out
        return True


class OneLine(logging.Formatter):
    """Writes each record as one line, tracebacks and foreign line ends escaped; times are UTC."""

    def __init__(self) -> None:
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        line = self.formatMessage(self._filled(record))
        left_out = getattr(record, "left_out", 0)
        parts = (line, f"left_out={left_out}" if left_out else "", f"trace={_Quoted(trace)!r}" if trace else "")
        return printable(" ".join(part for part in parts if part))

    def _filled(self, record: logging.LogRecord) -> logging.LogRecord:
        args = record.args
        if isinstance(args, tuple) and args:
            record.message = str(record.msg) % tuple(_Quoted(arg) if type(arg) is str else arg for arg in args)
        else:
            record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        return record


def log_to(stream: TextIO) -> None:
    """Send everything that is logged in this process to a stream.

    Args:
        stream: Where lines go.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine())
    handler.addFilter(OncePerInterval())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
