"""The arrays that kernels borrow, empty or from plain Python values."""

from collections.abc import Iterable

import numpy as np

from spanward_processor.kernels.cells import Packed
from spanward_processor.kernels.frames import Frames
from spanward_processor.kernels.jit import Bytes, Ints
from spanward_processor.kernels.tables import CellTable
from spanward_processor.kernels.validate import MAX_DEPTH
from spanward_processor.rowmodel import RowModel
from spanward_processor.windows.cells import Cells


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
    return {(word >> 32, cell_bin): word & 0xFFFF_FFFF for word, cell_bin in table.cells.tolist() if word}


def cells_of(rows: Iterable[tuple[int, int, float]]) -> Cells:
    """Return cells from (stream, bin, count) in any order."""
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return Cells.of(ints(columns[0]), ints(columns[1]), np.array(columns[2], np.float64))


def packed_of(rows: Iterable[tuple[int, int, float]]) -> Packed:
    """Return packed cells from (stream, bin, count) in any order."""
    cells = cells_of(rows)
    return Packed(cells.streams.astype(np.int32), cells.bins, cells.counts.astype(np.float32))


def rows_of_packed(cells: Packed, size: int | None = None) -> list[tuple[int, int, float]]:
    """Return packed cells, or the first of them, as (stream, bin, count), in their order."""
    return [
        (int(stream), int(cell_bin), float(count))
        for stream, cell_bin, count in zip(*(column[:size] for column in cells), strict=True)
    ]


def model_of(rows: Iterable[tuple[int, int, float]], *, ready: bool = True) -> RowModel:
    """Return the row model of a baseline's cells, of which every stream is ready, or none."""
    cells = packed_of(rows)
    streams = np.unique(cells.streams).astype(np.int64) if ready else np.empty(0, np.int64)
    firsts = np.stack((np.searchsorted(cells.streams, streams), np.searchsorted(cells.streams, streams, "right")), 1)
    return RowModel.of(cells, streams, firsts)


def rows_of_cells(cells: Cells) -> list[tuple[int, int, float]]:
    """Return cells as (stream, bin, count), in their order."""
    return list(zip(cells.streams.tolist(), cells.bins.tolist(), cells.counts.tolist(), strict=True))
