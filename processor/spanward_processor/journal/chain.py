"""The journal's files in order: a new one begins where the last one ends, and the first ones go when they are done with."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from spanward_processor.journal.segment import SUFFIX, Segment


class Chain:
    """The segments in a folder; there is always one to write to.

    Args:
        folder: Where they lie.
        opened: Closes what was opened, should opening the journal fail.
    """

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self._folder = folder
        self._segments = _open_segments(folder, opened)
        self._spare: Segment | None = None  # one that is done with, kept to be written over

    def __iter__(self) -> Iterator[Segment]:
        """Go through the segments, oldest first."""
        return iter(self._segments)

    @property
    def last(self) -> Segment:
        """The one that is written to."""
        return self._segments[-1]

    @property
    def start(self) -> int:
        """Position of the oldest record."""
        return self._segments[0].start

    @property
    def end(self) -> int:
        """Position after the newest record."""
        return self._segments[-1].end

    def at(self, position: int) -> Segment:
        """Return the segment that a position lies in."""
        return next(segment for segment in reversed(self._segments) if segment.start <= position)

    def go_on(self) -> None:
        """Begin the next segment.

        Raises:
            OSError: It cannot be made.
        """
        spare, self._spare = self._spare, None
        if spare is None:
            self._segments.append(Segment.create(self._folder, self.end))
            return
        spare.begin_again(self.end)
        self._segments.append(spare)

    def release(self, needed: int, spare_within: int) -> None:
        """Let go of segments that end before a position.

        Args:
            needed: The position.
            spare_within: Bytes that the others may hold for one to be kept, to be written over.
        """
        while len(self._segments) > 1 and self._segments[0].end <= needed:
            done = self._segments.pop(0)
            if self._spare is None and self.end - self.start <= spare_within:
                self._spare = done
            else:
                done.remove()

    def close_by(self, steps: ExitStack) -> None:
        """Note how everything is closed."""
        if self._spare is not None:
            steps.callback(self._spare.remove)
        for segment in self._segments:
            steps.callback(segment.close)


def _open_segments(folder: Path, opened: ExitStack) -> list[Segment]:
    segments: list[Segment] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        segments.append(Segment.open(path))
        opened.callback(segments[-1].close)
    if not segments:
        first = Segment.create(folder, 0)
        opened.callback(first.close)
        return [first]
    for segment, following in pairwise(segments):
        segment.end = following.start
    segments[-1].mend()
    return segments
