"""How one backend goes through the journal: what it takes, what it has confirmed, and where its way ends."""

from typing import TYPE_CHECKING

from spanward_processor.journal.cursor import Cursor
from spanward_processor.journal.record import Record

if TYPE_CHECKING:
    from spanward_processor.journal.log import Journal


class Reader:
    """One backend's way through the journal; used by one thread.

    Args:
        journal: The journal.
        name: Whose it is.
        cursor: Where its position is kept.
        at: Where it begins.
    """

    def __init__(self, journal: "Journal", name: str, cursor: Cursor, at: int) -> None:
        self.name = name
        self.confirmed = at
        self.until: int | None = None  # where the way of a backend ends that is no longer configured
        self.dismissed = False  # nothing is kept for it any more
        self._journal = journal
        self._cursor = cursor
        self._at = at

    @property
    def at(self) -> int:
        """Position after everything taken or passed over."""
        return self._at

    @property
    def _end(self) -> int:
        return self._journal.end if self.until is None else self.until

    @property
    def waiting_bytes(self) -> int:
        """Bytes of records not yet delivered."""
        return 0 if self.dismissed else self.undelivered_bytes

    @property
    def undelivered_bytes(self) -> int:
        """Bytes of its records that were not delivered, whether they are still awaited or given up."""
        return self._end - self.confirmed

    @property
    def untaken_bytes(self) -> int:
        """Bytes of records not yet taken."""
        return 0 if self.dismissed else self._end - self._at

    @property
    def behind(self) -> bool:
        """Whether the next record must be read from the disk."""
        return self._at < self._end and not self._journal.remembers(self._at)

    def end_here(self) -> None:
        """Take what is in the journal by now, and no more."""
        self.until = self._journal.end

    def go_on(self) -> None:
        """Take what comes, after all."""
        self.until = None

    def take(self, most_bytes: int) -> list[Record]:
        """Return the next records of one signal, in order; none at the end.

        Args:
            most_bytes: Bytes of requests after which no further one is added; the first is always taken.
        """
        if self.dismissed or (self.until is not None and self._at >= self.until):
            return []
        taken, at = self._journal.read(self._at, most_bytes)
        self._at = min(at, self._end)
        return [record for record in taken if record.end <= self._at]

    def confirm(self, position: int) -> None:
        """Note that everything before a position is delivered, and let the journal forget it."""
        if self.dismissed:
            return
        self.confirmed = position
        self._cursor.move(position)
        self._journal.forget()

    def close(self) -> None:
        """Write the position out."""
        self._cursor.close()

    def remove(self) -> None:
        """Forget the position, of a backend that was dismissed."""
        self._cursor.remove()
