"""The arrays that kernels borrow, empty or from plain Python values."""

from collections.abc import Iterable

import numpy as np

from spanward_processor.cells import Cells
from spanward_processor.kernels.frames import Frames
from spanward_processor.kernels.jit import Bytes, Ints
from spanward_processor.kernels.tables import CellTable
from spanward_processor.kernels.validate import MAX_DEPTH


def bytes_of(data: bytes) -> Bytes:
    """Return bytes as a read-only array, as the receiver hands them over."""
    return np.frombuffer(data, np.uint8)


def ints(values: Iterable[int]) -> Ints:
    """Return integers as a column."""
    return np.array(list(values), np.int64)


def stack() -> Ints:
    """Return room for `validate`."""
    return np.empty((2, MAX_DEPTH), np.int64)


def no_frames() -> Frames:
    """Return frames without room."""
    return Frames(*(np.empty((0, 5), np.int64) for _ in Frames._fields))


def content(table: CellTable) -> dict[tuple[int, int], int]:
    """Return a table as a dictionary from (stream, bin) to count."""
    return {(stream, cell_bin): count for stream, cell_bin, count in table.cells.tolist() if stream >= 0}


def cells_of(rows: Iterable[tuple[int, int, float]]) -> Cells:
    """Return cells from (stream, bin, count) in any order."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return Cells.of(ints(columns[0]), ints(columns[1]), np.array(columns[2], np.float64))


def rows_of_cells(cells: Cells) -> list[tuple[int, int, float]]:
    """Return cells as (stream, bin, count), in their order."""
    return list(zip(cells.streams.tolist(), cells.bins.tolist(), cells.counts.tolist(), strict=True))
