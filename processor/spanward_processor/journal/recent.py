"""The newest records, kept in memory for backends that are up to date."""

from collections import OrderedDict

from spanward_processor.journal.record import Record


class Recent:
    """The newest records by position, within a number of bytes.

    Args:
        most_bytes: Bytes of requests kept; may be changed.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._records: OrderedDict[int, Record] = OrderedDict()
        self._bytes = 0

    def add(self, record: Record) -> None:
        """Keep a record; the oldest ones make way."""
        self._records[record.at] = record
        self._bytes += len(record.payload)
        while self._bytes > self.most_bytes:
            self._forget_oldest()

    def at(self, position: int) -> Record | None:
        """Return the record at a position, None where it is not kept."""
        return self._records.get(position)

    def forget_before(self, position: int) -> None:
        """Forget records that end before a position."""
        while self._records and next(iter(self._records.values())).end <= position:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        self._bytes -= len(self._records.popitem(last=False)[1].payload)
