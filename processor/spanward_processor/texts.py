"""Codes back to texts: who is meant by a 64-bit code, bounded in memory.

Two generations: texts are learned into the fresh one; when it is half full it becomes the old one. A text in use is
seen again and so moves along; one that is not seen for two generations is forgotten.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from spanward_processor.columns import SpanBatch
from spanward_processor.kept import Arrays, of_texts, to_texts
from spanward_processor.kernels.tables import find_unknown

_AT_ONCE: Final = 1024  # texts learned from one request; the rest when they come again
_LONGEST: Final = 256  # characters kept of a text
_UNKNOWN: Final = "#"  # begins what stands for such a text


class Texts:
    """The dictionary of the codes seen lately.

    Args:
        columns: Text columns whose values may have to be shown to a person.
        most: Texts kept, over both generations.
    """

    def __init__(self, columns: Sequence[int], most: int) -> None:
        self._columns = np.array(columns, np.int64)
        self._half = max(most // 2, _AT_ONCE)
        self._found = np.zeros((_AT_ONCE, 2), np.int64)
        self._old: dict[int, str] = {}
        self.lasting: dict[int, str] = {}  # of keys, as long as there are keys: `KeyDirectory` fills it
        self.forgotten = 0  # texts, since the start
        self._begin_generation()

    def _begin_generation(self) -> None:
        self._fresh: dict[int, str] = {}
        self._marked = 0  # codes in `known`
        self._known = np.zeros(1 << (2 * (self._half + _AT_ONCE)).bit_length(), np.uint64)

    def held(self) -> Callable[[], Arrays]:
        """Return what gives the arrays of this moment; making it is quick, calling it may take longer."""
        texts = self._old | self._fresh
        return lambda: of_texts(texts)

    def arrays(self) -> Arrays:
        """Return what is kept; see `Kept`."""
        return self.held()()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was kept; see `Kept`. Those that are still in use are learned anew with the first that come."""
        self._old = to_texts(arrays)

    def learn(self, batch: SpanBatch) -> None:
        """Remember the texts of a batch that are new."""
        if self._marked >= self._half:
            self.forgotten += len(self._old.keys() - self._fresh.keys())
            self._old = self._fresh
            self._begin_generation()
        count = find_unknown(batch.codes, self._columns, self._known, self._found)
        if not count:
            return
        self._marked += count
        columns, rows = self._found[:count].T
        for code, column, row in zip(batch.codes[columns, rows].tolist(), columns.tolist(), rows.tolist(), strict=True):
            lasting = self.lasting.get(code)
            if lasting is None or (lasting[:1] == _UNKNOWN and lasting == unknown_text(code)):
                self._fresh[code] = self._old.get(code) or text_at(batch, column, row)

    def __getitem__(self, code: int) -> str:
        """Return the text of a code, or the code in hex when it was forgotten."""
        code &= 0xFFFF_FFFF_FFFF_FFFF
        if code == 0:
            return ""
        return self._fresh.get(code) or self._old.get(code) or self.lasting.get(code) or unknown_text(code)

    def __len__(self) -> int:
        """Return how many texts are kept."""
        return len(self._fresh.keys() | self._old.keys())


def unknown_text(code: int) -> str:
    """Return what stands for the text of a code that was forgotten, or never learned."""
    return f"{_UNKNOWN}{code:016x}"


def text_at(batch: SpanBatch, column: int, row: int) -> str:
    """Return the text of one place of a text column."""
    at = int(batch.text_at[column, row])
    value = AnyValue.FromString(batch.data[at : at + int(batch.text_size[column, row])].tobytes())
    kind = value.WhichOneof("value")
    if kind == "bytes_value":
        return value.bytes_value.hex()[:_LONGEST]
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return str(getattr(value, kind) if kind else "")[:_LONGEST]
