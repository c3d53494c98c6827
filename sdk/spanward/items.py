"""The items of a batch or a stream: one span tells their statistics, and each as an event where that is asked for."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, cast

from opentelemetry.util.types import AttributeValue

from spanward import semconv
from spanward.extract import outcome_of
from spanward.extract.distribution import SUM_TOLERANCE
from spanward.outcome import Outcome, in_host_memory, label, readable, shape_of

MOST_DECISIONS: Final = 16  # that a span names, the commonest first
MOST_EVENTS: Final = 128  # of items; the SDK's own limit of events

Attributes = dict[str, AttributeValue]


class Items:
    """What is known of the items that have been seen so far."""

    __slots__ = ("_decisions", "_max", "_min", "_scores", "_sum", "count", "last")

    def __init__(self) -> None:
        self.count = 0
        self.last: Outcome | None = None
        self._decisions: Counter[str] = Counter()
        self._scores = 0
        self._sum = 0.0
        self._min = self._max = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one more item."""
        self.count += 1
        self.last = outcome
        if outcome.decision is not None:
            self._decisions[outcome.decision] += 1
        if (score := outcome.score) is not None:
            self._min = min(self._min, score) if self._scores else score
            self._max = max(self._max, score) if self._scores else score
            self._scores += 1
            self._sum += score

    def add_columns(self, labels: Sequence[object], scores: Sequence[float]) -> None:
        """Add the decisions and scores of many items, which `count` holds already."""
        self._decisions.update(map(str, labels))
        if scores:
            self._scores, self._sum = len(scores), math.fsum(scores)
            self._min, self._max = min(scores), max(scores)

    def tell(self, facts: Attributes) -> None:
        """Add their statistics to what is told of the call; what is there already stays."""
        if self._scores:
            facts.setdefault(semconv.BATCH_SCORE_MEAN, self._sum / self._scores)
            facts.setdefault(semconv.BATCH_SCORE_MIN, self._min)
            facts.setdefault(semconv.BATCH_SCORE_MAX, self._max)
        if self._decisions:
            common = self._decisions.most_common(MOST_DECISIONS)
            facts.setdefault(semconv.BATCH_DECISIONS, [decision for decision, _ in common])
            facts.setdefault(semconv.BATCH_DECISION_COUNTS, [count for _, count in common])


def read_items(result: object, rows: int | None) -> Items | None:
    """Return what the results of single items say, where a result is one for each; None where it speaks for the call.

    Args:
        result: What the model function returned.
        rows: How many items the input may have.
    """
    if isinstance(result, list):
        results = cast("list[object]", result)
        if rows is None or rows < 2 or len(results) != rows:
            return None
        items = Items()
        for one in results:
            items.add(outcome_of(one))
        return items
    lengths = shape_of(result)
    if lengths is None or not 1 <= len(lengths) <= 2 or lengths[0] < 2:
        return None
    if len(lengths) == 1 and lengths[0] != rows:
        return None
    items = Items()
    items.count = lengths[0]
    if in_host_memory(result) or readable(result, lengths):
        labels, scores = _of_rows(result) if len(lengths) == 2 else _of_values(cast("Any", result).tolist())
        items.add_columns(labels, scores)
    return items


def _of_rows(array: Any) -> tuple[Sequence[object], Sequence[float]]:
    """Return the best class of every row and its probability, where all rows are distributions; computed by the array."""
    sums = array.sum(1)
    if array.shape[1] < 2 or float(array.min()) < 0.0 or float(abs(sums - 1).max()) > SUM_TOLERANCE:
        return (), ()
    best = array.amax(1) if hasattr(array, "amax") else array.max(1)  # a tensor's `max` gives the places too
    return array.argmax(1).tolist(), best.tolist()


def _of_values(values: list[object]) -> tuple[Sequence[object], Sequence[float]]:
    if isinstance(values[0], float):
        return (), cast("list[float]", values)
    return ([], ()) if label(values[0]) is None else (values, ())


def attributes_of_item(index: int, outcome: Outcome) -> Attributes:
    """Return what the event of one item says."""
    told: Attributes = {semconv.ITEM_INDEX: index}
    if outcome.decision is not None:
        told[semconv.DECISION] = outcome.decision
    if outcome.score is not None:
        told[semconv.SCORE] = outcome.score
        told[semconv.SCORE_KIND] = outcome.kind
    if outcome.margin is not None:
        told[semconv.MARGIN] = outcome.margin
    if outcome.entropy is not None:
        told[semconv.ENTROPY] = outcome.entropy
    return told
