"""The journal: append, read at each backend's own pace, forget what every backend has taken."""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from spanward_processor.journal.ages import Ages
from spanward_processor.journal.chain import Chain
from spanward_processor.journal.cursor import Cursor, strangers
from spanward_processor.journal.reader import Reader
from spanward_processor.journal.recent import Recent
from spanward_processor.journal.record import HEADER, LARGEST, Record, TornError, header_of, size_of
from spanward_processor.journal.segment import Forcing
from spanward_processor.journal.settings import Fsync, JournalSettings
from spanward_processor.signals import Encoded, Signal

_log = logging.getLogger(__name__)

_LARGEST_SEGMENT: Final = 64 << 20  # bytes after which a new file begins
_SEGMENTS: Final = 8  # files a full journal has at least, so that space comes free in small steps


class JournalError(Exception):
    """The journal cannot be opened."""


class JournalFullError(Exception):
    """Nothing more can be taken until a backend has taken some."""


class Journal:
    """A log of requests in segments; thread-safe.

    Args:
        settings: How it is kept.
        readers: Names of the backends.
        clock_s: Returns the time of day, seconds.

    Raises:
        JournalError: The folder cannot be used, or another process uses it.
    """

    def __init__(
        self, settings: JournalSettings, readers: Sequence[str], clock_s: Callable[[], float] = time.time
    ) -> None:
        self._recent = Recent(settings.recent_bytes)
        self.adopt(settings)
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._readers: dict[str, Reader] = {}
        with ExitStack() as opened:
            self._lock_file = _claim(settings.folder)
            opened.callback(os.close, self._lock_file)
            self._chain = Chain(settings.folder, opened)
            self._ages = Ages(clock_s)
            for segment in self._chain:
                self._ages.note(segment.end, segment.written_s)
            self._synced = self.end
            for name in readers:
                self._readers[name] = self._reader(name)
                opened.callback(self._readers[name].close)
            _forget_strangers(settings.folder, set(readers), self.end)
            self._free()
            opened.pop_all()  # all is well: `close` does it from here on

    def adopt(self, settings: JournalSettings) -> None:
        """Keep to other bounds and another policy from now on; the folder stays."""
        self._settings = settings
        self._recent.most_bytes = settings.recent_bytes
        self._segment_bytes = min(_LARGEST_SEGMENT, settings.most_bytes // _SEGMENTS)

    def _reader(self, name: str) -> Reader:
        start = self._chain.start
        cursor = Cursor(self._settings.folder, name, self.end)
        at = start if cursor.at is None else min(max(cursor.at, start), self.end)
        cursor.move(at)
        return Reader(self, name, cursor, at)

    @property
    def end(self) -> int:
        """Position after the newest record."""
        return self._chain.end

    @property
    def held_bytes(self) -> int:
        """Size on disk."""
        return self._chain.end - self._chain.start

    @property
    def most_bytes(self) -> int:
        """Size on disk beyond which requests are refused."""
        return self._settings.most_bytes

    def oldest_s(self) -> float:
        """Return the age of the oldest request that some backend has not taken, seconds; 0 when there is none."""
        with self._lock:
            return self._ages.oldest_s(self._needed())

    def reader(self, name: str) -> Reader:
        """Return the reader of a backend; a new one begins at the present."""
        with self._lock:
            if name not in self._readers:
                self._readers[name] = self._reader(name)
            return self._readers[name]

    def waiting_bytes(self, name: str) -> int:
        """Return what a backend has yet to take, bytes; 0 where there is none of that name."""
        with self._lock:
            reader = self._readers.get(name)
        return reader.waiting_bytes if reader else 0

    def dismiss(self, name: str) -> None:
        """Forget a backend and how far it had come."""
        with self._lock:
            reader = self._readers.pop(name, None)
            if reader is not None:
                reader.dismissed = True
                self._free()

    # --- write -------------------------------------------------------------------------------------------------------

    def append(self, signal: Signal, payload: Encoded, spans: int = 0) -> None:
        """Write a request; when this returns, it is as safe as the policy says.

        Args:
            signal: Which kind it is.
            payload: The encoded request.
            spans: Spans in it.

        Raises:
            JournalFullError: There is no room, here or on the disk.
        """
        with self._lock:
            self._make_room(size_of(payload))
            segment = self._chain.last
            at = segment.end
            try:
                segment.write(header_of(at, signal, spans, payload), payload)
            except OSError as error:
                raise JournalFullError(f"the journal cannot be written: {error.strerror}") from error
            self._recent.add(Record(at, segment.end, signal, spans, payload))
            self._ages.note(segment.end)
        if self._settings.fsync is Fsync.ALWAYS:
            self._sync_to(at + size_of(payload))

    def check_room(self, payload_bytes: int) -> None:
        """Look whether a request could be written, as far as that can be told without writing it.

        Args:
            payload_bytes: Its length.

        Raises:
            JournalFullError: There is no room.
        """
        with self._lock:
            self._find_room(HEADER.size + payload_bytes)

    def _find_room(self, size: int) -> None:
        if self.held_bytes + size > self._settings.most_bytes:
            self._dismiss_leavers()
        if size > LARGEST or self.held_bytes + size > self._settings.most_bytes:
            raise JournalFullError(
                f"the journal holds {self.held_bytes} bytes that backends have not taken; "
                f"journal.most_bytes is {self._settings.most_bytes}"
            )

    def _make_room(self, size: int) -> None:
        self._find_room(size)
        last = self._chain.last
        if last.end - last.start >= self._segment_bytes:
            try:
                self._chain.go_on()  # what is full is forced to the medium with the rest: here all would wait for it
            except OSError as error:
                raise JournalFullError(f"the journal cannot be written: {error.strerror}") from error
            self._free()

    def _dismiss_leavers(self) -> None:
        """Wait no longer for backends that are no longer configured: others need the room."""
        leavers = [name for name, reader in self._readers.items() if reader.until is not None]
        for name in leavers:
            self._readers.pop(name).dismissed = True
        if leavers:
            self._free()

    def _sync_to(self, position: int) -> None:
        """Wait until a position is on the medium; callers that wait together share one call."""
        with self._syncing:
            if self._synced >= position:
                return
            with ExitStack() as opened:
                with self._lock:
                    reached, behind = self.end, self._behind(opened)
                for forcing in behind:
                    forcing.force()
            self._synced = reached

    def _behind(self, opened: ExitStack) -> list[Forcing]:
        """Return what forces the segments that are not on the medium to it; the newest always, since its name may not be."""
        behind = [segment for segment in self._chain if segment.end > self._synced or segment is self._chain.last]
        return [opened.enter_context(closing(segment.forcing())) for segment in behind]

    def sync(self) -> None:
        """Force everything to the medium, unless the policy is off; called at intervals."""
        if self._settings.fsync is not Fsync.OFF:
            self._sync_to(self.end)

    # --- read --------------------------------------------------------------------------------------------------------

    def remembers(self, at: int) -> bool:
        """Return whether the record at a position is still in memory."""
        return self._recent.at(at) is not None

    def read(self, at: int, most_bytes: int) -> tuple[list[Record], int]:
        """Return the records of one signal from a position on, and where to go on.

        Args:
            at: Position of the first.
            most_bytes: Bytes of requests after which no further one is added; the first is always taken.
        """
        read: list[Record] = []
        size = 0
        with self._lock:
            at = max(at, self._chain.start)  # of a backend that was just dismissed, it may be gone
            while (record := self._next(at)) is not None:
                size += len(record.payload)
                if read and (record.signal is not read[0].signal or size > most_bytes):
                    break
                read.append(record)
                at = record.end
            return read, at if read else self.end  # where nothing could be read, what is left is damaged

    def forget(self) -> None:
        """Forget what every backend has taken."""
        with self._lock:
            self._free()

    def _next(self, at: int) -> Record | None:
        """Return the record at a position, None at the end; damaged ones are passed over."""
        while at < self.end:
            if found := self._recent.at(at):
                return found
            segment = self._chain.at(at)
            try:
                return segment.read(at)
            except TornError as damage:
                resume = segment.resume(damage)
                _log.error("journal damaged file=%s position=%d bytes=%d", segment.path.name, at, resume - at)
                at = resume
        return None

    def _needed(self) -> int:
        """Return the position before which every backend has taken everything."""
        return min((reader.confirmed for reader in self._readers.values()), default=self.end)

    def _free(self) -> None:
        needed = self._needed()
        self._chain.release(needed, self._settings.most_bytes - self._segment_bytes)
        self._recent.forget_before(needed)

    def close(self) -> None:
        """Write cursors and records out and let another process have the folder; each step runs, whatever the others do."""
        with self._lock, ExitStack() as steps:
            steps.callback(os.close, self._lock_file)
            self._chain.close_by(steps)
            if self._settings.fsync is not Fsync.OFF:
                for forcing in self._behind(steps):
                    steps.callback(forcing.force)
            for reader in self._readers.values():
                steps.callback(reader.close)
            steps.callback(self._free)


def _claim(folder: Path) -> int:
    """Make the folder ours until the process ends; return the lock's descriptor."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"journal.folder: must be a folder we can write, got {folder} ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise JournalError(
            f"journal.folder: must be used by one process only, got {folder}, which another uses"
        ) from error
    return descriptor


def _forget_strangers(folder: Path, known: set[str], end: int) -> None:
    for name, path in strangers(folder, known):
        cursor = Cursor(folder, name, end)
        undelivered = end - (cursor.at or 0)
        cursor.close()
        path.unlink()
        _log.warning("backend is no longer configured backend=%s undelivered_bytes=%d", name, undelivered)
