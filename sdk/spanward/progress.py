"""How a stream goes on: how many items, how long each took, and what they say."""

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from spanward import semconv
from spanward.extract import outcome_of
from spanward.outcome import NOTHING, Outcome, shape_of
from spanward.results import tell_outcome
from spanward.runtime import NS_PER_S

if TYPE_CHECKING:
    from spanward.call import Call

COMPLETE: Final = "complete"
ABANDONED: Final = "abandoned"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"

BRIEF_NS: Final = 100_000
"""CPU time of what takes less is not measured: reading the clock twice costs a tenth of a span, and tells nothing."""
_SILENT: Final = frozenset({str, bytes, int, float, bool, type(None)})  # pieces of an answer, which say nothing alone


class Progress:
    """How a stream has gone so far.

    Args:
        outcome: Says what one item says.
        keeps: Whether items are kept, for functions of the user's that read them all.
    """

    __slots__ = (
        "_begun_ns",
        "_between_ns",
        "_consumer_ns",
        "_first_ns",
        "_kept",
        "_longest_ns",
        "_outcome",
        "_said",
        "_took_ns",
        "count",
        "last_ns",
    )

    def __init__(self, outcome: Callable[[Any], Outcome] = outcome_of, *, keeps: bool) -> None:
        self._outcome = outcome
        self.count = 0
        self.last_ns = self._begun_ns = perf_counter_ns()
        self._kept: list[object] | None = [] if keeps else None
        self._said = NOTHING
        self._first_ns = self._between_ns = self._longest_ns = self._consumer_ns = self._took_ns = 0

    @property
    def brief(self) -> bool:
        """Whether the latest step took so little that its CPU time is not worth the reading."""
        return 0 < self._took_ns < BRIEF_NS

    def step(self, since_ns: int) -> None:
        """Note the time of a step that ends now; the time before it was the consumer's.

        Args:
            since_ns: When it began, `perf_counter_ns`.
        """
        now_ns = perf_counter_ns()
        self._consumer_ns += since_ns - self.last_ns
        self._took_ns = now_ns - since_ns
        self.last_ns = now_ns

    def note(self, call: "Call", item: object) -> None:
        """Count the item that the latest step made.

        Args:
            call: The call it belongs to.
            item: The item.
        """
        self.count += 1
        if self.count == 1:
            self._first_ns = self.last_ns - self._begun_ns
        else:
            self._between_ns += self._took_ns
            self._longest_ns = max(self._longest_ns, self._took_ns)
        if self._kept is not None:
            self._kept.append(item)
        if type(item) in _SILENT or not call.counts or shape_of(item) is not None:
            return
        outcome = self._outcome(item)
        if outcome.decision is not None or outcome.score is not None:
            call.item(outcome)
        self._said = _joined(self._said, outcome)

    def tell(self, call: "Call", how: str) -> None:
        """Tell of a stream that has ended.

        Args:
            call: The call it belongs to.
            how: How it ended; one that told of an error has failed, though it came to its end.
        """
        if not call.counts:
            return
        facts = call.facts
        facts[semconv.STREAM_ITEMS] = self.count
        facts[semconv.STREAM_END] = FAILED if semconv.ERROR_TYPE in facts and how == COMPLETE else how
        facts[semconv.STREAM_CONSUMER_S] = self._consumer_ns / NS_PER_S
        if self.count:
            facts[semconv.STREAM_FIRST_ITEM_S] = self._first_ns / NS_PER_S
            if semconv.GEN_AI_OPERATION_NAME in call.observation.constants:
                facts[semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] = self._first_ns / NS_PER_S
        if self.count > 1:
            facts[semconv.STREAM_BETWEEN_ITEMS_MEAN_S] = self._between_ns / (self.count - 1) / NS_PER_S
            facts[semconv.STREAM_BETWEEN_ITEMS_MAX_S] = self._longest_ns / NS_PER_S
        if self._kept is not None and (readers := call.observation.readers) is not None:
            readers.tell(facts, self._kept)
        tell_outcome(facts, self._said)


def _joined(before: Outcome, after: Outcome) -> Outcome:
    """Return what two chunks of one response say: of each thing what was said last."""
    tokens = after.tokens or before.tokens
    if after.tokens and before.tokens:
        said: dict[str, Any] = {name: count for name, count in after.tokens._asdict().items() if count is not None}
        tokens = before.tokens._replace(**said)
    return Outcome(
        tokens=tokens,
        served=after.served or before.served,
        response_id=after.response_id or before.response_id,
        finish_reasons=after.finish_reasons or before.finish_reasons,
    )
