"""What comes back soon after it ended has to stay away for longer before it ends again.

A stream on the border between usual and not would else open and end a finding every few minutes. As a router doubles what it holds
against a route that flaps, what is asked for doubles with each return.

Source: Villamizar, Chandra and Govindan, "BGP Route Flap Damping", RFC 2439, section 2.
"""

from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

from spanward_processor.kept import Arrays, from_json, to_json

CALM_WINDOWS: Final = 3
"""As-usual windows in a row after which a finding ends that has not come back."""

_SOON_NS: Final = 3_600 * 1_000_000_000  # from its end, within which a finding has come back
_MOST_DOUBLINGS: Final = 5
_MOST: Final = 1_000  # streams whose end is remembered; the one that ended longest ago is forgotten


class Returning:
    """Remembers what ended within the last hour, and how often it had come back by then."""

    def __init__(self) -> None:
        self._ended: dict[int, tuple[int, int]] = {}  # by stream, oldest first: when, Unix nanoseconds, and how often

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return {"ended": from_json([(stream, *end) for stream, end in self._ended.items()])}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`."""
        self._ended = {stream: (at_ns, returns) for stream, at_ns, returns in to_json(arrays["ended"])}

    def returns(self, stream: int, now_ns: int) -> int:
        """Return how often a finding about a stream that opens now has come back, each time within an hour of its end."""
        at_ns, before = self._ended.get(stream, (now_ns - _SOON_NS - 1, 0))
        return before + 1 if now_ns - at_ns <= _SOON_NS else 0

    def note(self, stream: int, returns: int, now_ns: int) -> None:
        """Note that a finding about a stream, which has come back so often, ends now."""
        self._ended.pop(stream, None)
        self._ended[stream] = now_ns, returns
        while len(self._ended) > _MOST:
            del self._ended[next(iter(self._ended))]


def calm_windows(returns: int) -> int:
    """Return how many as-usual windows in a row end a finding that has come back so often."""
    return CALM_WINDOWS << min(returns, _MOST_DOUBLINGS)


def back(returns: int) -> str:
    """Say how often a finding has come back; nothing where it has not."""
    if not returns:
        return ""
    times = "once" if returns == 1 else f"{returns} times"
    return (
        f" It came back {times}, within an hour of its end, so it now ends after {calm_windows(returns)} usual windows."
    )
