"""What is told of a result: what the user's functions say of it, and beside that what its form says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from spanward import semconv
from spanward._guard import Guard
from spanward.extract import outcome_of
from spanward.extract.labelled import label_and_score
from spanward.items import Attributes, Items, read_items
from spanward.outcome import Outcome, Tokens, kind_of, real

LONGEST_TEXT: Final = 256  # characters of an attribute we take from the user

OfResult = Callable[[Any], object] | None
"""A function of the result."""

# One guard for each thing that may fail on its own, so that what else is known of the call is still told.
_reading: Final = Guard("reading a result")
_asking_decision: Final = Guard("asking for the decision")
_asking_score: Final = Guard("asking for the score")
_asking_tokens: Final = Guard("asking for tokens")


@dataclass(frozen=True, slots=True)
class Readers:
    """The user's functions of a result.

    Args:
        outcome: Says all at once, in place of what the form says.
        decision: Says the decision.
        score: Says the score.
        tokens: Says the token counts.
    """

    outcome: Callable[[Any], Outcome] | None = None
    decision: OfResult = None
    score: OfResult = None
    tokens: Callable[[Any], Tokens | None] | None = None

    def tell(self, facts: Attributes, result: object) -> None:
        """Add what the user's functions say of a result; what is there already stays."""
        if self.decision:
            try:
                tell_text(facts, semconv.DECISION, self.decision(result))
            except Exception as error:  # noqa: BLE001 - what a user's function raises
                _asking_decision.swallow(error)
        if self.score:
            try:
                tell_score(facts, real(self.score(result)))
            except Exception as error:  # noqa: BLE001
                _asking_score.swallow(error)
        if self.tokens:
            try:
                if (tokens := self.tokens(result)) is not None:
                    tell_tokens(facts, tokens)
            except Exception as error:  # noqa: BLE001
                _asking_tokens.swallow(error)


def tell_form(facts: Attributes, result: object, rows: int | None, readers: Readers | None) -> Items | None:
    """Add what the form of a result says; what is there already stays.

    Args:
        facts: What is told of the call.
        result: What the model function returned.
        rows: How many items the input may have.
        readers: The user's functions, where there are any.

    Returns:
        The items, where the result is one for each item of a batch: none of them speaks for the call.
    """
    try:
        if readers is not None and readers.outcome:
            tell_outcome(facts, readers.outcome(result))
            return None
        # Most results are a dict or a text, and neither has items.
        kind = type(result)
        if kind is dict and _tell_label_and_score(facts, cast("dict[object, object]", result)):
            return None
        items = None if kind in _WHOLE else read_items(result, rows)
        if items is None:
            if kind is not list or facts.get(semconv.BATCH_SIZE, 1) == 1:
                tell_outcome(facts, outcome_of(result))
            return None
        facts.setdefault(semconv.BATCH_SIZE, items.count)
        items.tell(facts)
    except Exception as error:  # noqa: BLE001 - a result may be of any class
        _reading.swallow(error)
        return None
    return items


def _tell_label_and_score(facts: Attributes, fields: dict[Any, object]) -> bool:
    """Add the two where a result has both; an `Outcome` between, which says as much, would cost half of all reading."""
    name, number = label_and_score(fields)
    if name is None or number is None:
        return False
    facts.setdefault(semconv.DECISION, name)
    tell_score(facts, number)
    return True


_WHOLE: Final = frozenset({dict, str, float, int, bool, type(None)})


def tell_outcome(facts: Attributes, outcome: Outcome) -> None:
    """Add an outcome; what is there already stays, and with another score the rest of this one's distribution is left out."""
    decision, score, kind, margin, entropy, tokens, served, response_id, finish_reasons = outcome
    if decision is not None:
        facts.setdefault(semconv.DECISION, decision[:LONGEST_TEXT])
    if score is not None and semconv.SCORE not in facts:
        facts[semconv.SCORE] = score
        facts[semconv.SCORE_KIND] = kind
        if margin is not None:
            facts[semconv.MARGIN] = margin
        if entropy is not None:
            facts[semconv.ENTROPY] = entropy
    if tokens is not None:
        tell_tokens(facts, tokens)
    if served is not None:
        facts.setdefault(semconv.GEN_AI_RESPONSE_MODEL, served[:LONGEST_TEXT])
    if response_id is not None:
        facts.setdefault(semconv.GEN_AI_RESPONSE_ID, response_id[:LONGEST_TEXT])
    if finish_reasons:
        facts.setdefault(semconv.GEN_AI_RESPONSE_FINISH_REASONS, finish_reasons)


def tell_score(facts: Attributes, score: float | None) -> None:
    """Add a score and whether it can be a probability; what is there already stays."""
    if score is not None and semconv.SCORE not in facts:
        facts[semconv.SCORE] = score
        facts[semconv.SCORE_KIND] = kind_of(score)


def tell_tokens(facts: Attributes, tokens: Tokens) -> None:
    """Add token counts; the first who knows them holds."""
    if semconv.TOKENS_SOURCE in facts:
        return
    for name, count in zip(_TOKEN_NAMES, (tokens.input, tokens.output, tokens.cached, tokens.reasoning), strict=True):
        if count is not None:
            facts[name] = int(count)
    facts[semconv.TOKENS_SOURCE] = tokens.source


_TOKEN_NAMES: Final = (
    semconv.GEN_AI_USAGE_INPUT_TOKENS,
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
    semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
)


def tokens_in(facts: Attributes) -> Tokens | None:
    """Return the token counts that are told, or None."""
    if semconv.TOKENS_SOURCE not in facts:
        return None
    counts = [cast("int | None", facts.get(name)) for name in _TOKEN_NAMES]
    return Tokens(counts[0], counts[1], str(facts[semconv.TOKENS_SOURCE]), counts[2], counts[3])


def tell_text(facts: Attributes, name: str, value: object) -> None:
    """Add a text of the user's, cut to a length that a span can bear; what is there already stays."""
    if value is not None:
        facts.setdefault(name, str(value)[:LONGEST_TEXT])
