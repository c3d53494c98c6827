"""One decoded request: an array per field."""

from dataclasses import dataclass

from spanward_processor.kernels.frames import Frames
from spanward_processor.kernels.jit import Bytes, Codes, Floats, Ints
from spanward_processor.kernels.spans import Facts


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """The columns of one request of n spans.

    Args:
        data: (b,) uint8 the request as it came.
        frames: Where each resource, scope and span lies in `data`.
        facts: Times, status and trace id offset per span.
        codes: (t, n) uint64 keyed hash of each text role, 0 where absent.
        text_at: (t, n) int64 offset of the AnyValue that holds the text.
        text_size: (t, n) int64 length of that AnyValue.
        numbers: (m, n) float64 each number role, NaN where absent.
        reserved: (k, 3) int64 inbound attributes under the processor's own prefix: row, first byte, one past the last.
        outer_reserved: How many more of them resources and scopes have.
    """

    data: Bytes
    frames: Frames
    facts: Facts
    codes: Codes
    text_at: Ints
    text_size: Ints
    numbers: Floats
    reserved: Ints
    outer_reserved: int

    def __len__(self) -> int:
        """Return the number of spans."""
        return int(self.frames.spans.shape[0])
