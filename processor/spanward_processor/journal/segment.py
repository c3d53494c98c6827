"""One file of the journal: records one after the other, named by the position of the first."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from spanward_processor.journal.record import HEADER, Record, TornError, length_in, record_of
from spanward_processor.signals import Encoded

SUFFIX: Final = ".segment"


@dataclass(slots=True)
class Segment:
    """An open file of records.

    Args:
        path: Where it lies.
        start: Position of its first record.
        end: Position after its last record.
        descriptor: Its open file.
        forced: The path that is known to be on the medium; None before the first.
        written_s: When an earlier process wrote to it last, seconds of the day's clock.
    """

    path: Path
    start: int
    end: int
    descriptor: int
    forced: Path | None = None
    written_s: float | None = None

    @classmethod
    def create(cls, folder: Path, start: int) -> Self:
        """Begin a file at a position."""
        path = folder / f"{start:016x}{SUFFIX}"
        return cls(path, start, start, os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file that an earlier process wrote; its end is taken from its size."""
        start = int(path.name.removesuffix(SUFFIX), 16)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        found = os.fstat(descriptor)
        return cls(path, start, start + found.st_size, descriptor, written_s=found.st_mtime)

    def mend(self) -> None:
        """Cut off what follows the last whole record: one that was cut short, or what the file held before it was ours."""
        at = whole = self.start
        while at < self.end:
            try:
                at = whole = self.read(at).end
            except TornError as damage:
                at = self.resume(damage)
        os.ftruncate(self.descriptor, whole - self.start)
        self.end = whole

    def begin_again(self, start: int) -> None:
        """Become the file of another position; writing over what is there is cheaper than letting a file grow.

        Old records are not taken for new ones, since each names its position.
        """
        path = self.path.with_name(f"{start:016x}{SUFFIX}")
        self.path.rename(path)
        self.path, self.start, self.end = path, start, start

    def resume(self, damage: TornError) -> int:
        """Return where reading goes on after damage: the next record where its place is known, else the end."""
        return self.end if damage.resume is None else min(damage.resume, self.end)

    def write(self, header: bytes, payload: Encoded) -> None:
        """Append a record; either all of it is written or the file is as before.

        Raises:
            OSError: The disk is full or broken.
        """
        offset = self.end - self.start
        parts, left = [memoryview(header), memoryview(payload)], len(header) + len(payload)
        try:
            while left:
                written = os.pwritev(self.descriptor, parts, offset)
                offset, left = offset + written, left - written
                while written and parts:
                    taken = min(written, len(parts[0]))
                    parts[0] = parts[0][taken:]
                    written -= taken
                    if not parts[0]:
                        del parts[0]
        except OSError:
            os.ftruncate(self.descriptor, self.end - self.start)  # what the file held behind is cut off with it
            raise
        self.end = self.start + offset

    def read(self, at: int) -> Record:
        """Return the record at a position.

        Raises:
            TornError: There is no whole record.
        """
        offset = at - self.start
        header = os.pread(self.descriptor, HEADER.size, offset)
        payload = os.pread(self.descriptor, length_in(header, at), offset + HEADER.size)
        return record_of(header, payload, at)

    def forcing(self) -> "Forcing":
        """Return what forces everything written so far to the medium, which may take long; the segment may be let go meanwhile."""
        return Forcing(self, self.path, os.dup(self.descriptor))

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        self.path.unlink()


@dataclass(frozen=True, slots=True)
class Forcing:
    """A segment as it was, on its way to the medium.

    Args:
        segment: The segment.
        path: Where it lay.
        descriptor: Its file, opened once more, so that it can be forced though the segment is closed meanwhile.
    """

    segment: Segment
    path: Path
    descriptor: int

    def force(self) -> None:
        """Wait until it is on the medium, with the name under which it is found again.

        Raises:
            OSError: The medium is broken.
        """
        os.fdatasync(self.descriptor)
        if self.segment.forced != self.path:
            _sync_folder(self.path.parent)
            self.segment.forced = self.path

    def close(self) -> None:
        """Close what was opened for it."""
        os.close(self.descriptor)


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the medium; forcing a file does not promise that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
