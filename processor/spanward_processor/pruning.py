"""What does not come in: spans over a limit, and the processor's own attributes where only a resource or scope has them.

Ordinary requests cost a comparison here. One that holds such a part is written anew without it and decoded again.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from spanward_processor.columns import SpanBatch
from spanward_processor.configuration.settings import Limits
from spanward_processor.kernels.excess import ATTRIBUTES, VALUE, WALK_DEPTH, find_excess
from spanward_processor.kernels.jit import Ints
from spanward_processor.kernels.prune import EDITS, plan_pruning, write_pruned

_SMALLEST_ATTRIBUTE: Final = 2  # bytes: a tag and a length of nothing
_RULES: Final = (
    (ATTRIBUTES, "attributes_per_span", "a span must have at most {limit} attributes"),
    (VALUE, "string_bytes", "a text or bytes value must have at most {limit} bytes"),
)
SPAN_LIMITS: Final = tuple(name for _, name, _ in _RULES)
"""Names of the limits beyond which a span is refused."""


class MixedError(Exception):
    """Several senders' requests were taken as one, and spans of some are refused: each must get an answer of its own."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """Spans of a request that are refused while the rest is taken.

    Args:
        rows: (n,) int64 above 0 for a refused span; empty where none is.
        by_limit: Name of each limit to how many spans are over it.
        reason: Rules, limits and what was found, for the sender.
    """

    rows: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    by_limit: tuple[tuple[str, int], ...] = ()
    reason: str = ""

    @property
    def spans(self) -> int:
        """How many."""
        return sum(count for _, count in self.by_limit)


NONE: Final = Refusals()


def find_refusals(batch: SpanBatch, limits: Limits) -> Refusals:
    """Return which spans of a request are refused.

    Args:
        batch: The decoded request.
        limits: What a span may hold.
    """
    if batch.data.size <= min(limits.string_bytes, _SMALLEST_ATTRIBUTE * limits.attributes_per_span):
        return NONE  # too small to hold what is over a limit
    spans = batch.frames.spans
    excess = np.empty((2, spans.shape[0]), np.int64)
    room = np.empty((2, WALK_DEPTH), np.int64)
    attributes, string_bytes = limits.attributes_per_span, limits.string_bytes
    if not find_excess(batch.data, spans, batch.facts.attributes, attributes, string_bytes, room, excess):
        return NONE
    return _described(excess, limits)


def _described(excess: Ints, limits: Limits) -> Refusals:
    counts: list[tuple[str, int]] = []
    reasons: list[str] = []
    for kind, name, rule in _RULES:
        (rows,) = np.nonzero(excess[0] == kind)
        if not rows.size:
            continue
        counts.append((name, rows.size))
        first = int(rows[0])
        reasons.append(
            f"limits.{name}: {rule.format(limit=getattr(limits, name))}, got {excess[1, first]} "
            f"in span {first + 1} of {excess.shape[1]}; spans refused for this: {rows.size}"
        )
    return Refusals(excess[0], tuple(counts), "; ".join(reasons))


def pruned(batch: SpanBatch, refusals: Refusals) -> bytes:
    """Return the request without refused spans, and without attributes of ours on resources and scopes.

    Args:
        batch: The decoded request.
        refusals: The spans to leave out.
    """
    rows = refusals.rows if refusals.spans else np.zeros(len(batch), np.int64)
    edits = np.empty((4 * (refusals.spans + batch.outer_reserved) + 3, 3), np.int64)
    done = np.zeros(3, np.int64)
    plan_pruning(batch.data, rows, edits, done)
    out = np.empty(batch.data.size, np.uint8)
    return out[: write_pruned(batch.data, edits[: done[EDITS]], out)].tobytes()
