"""What common results say: one extractor for each form, the first that knows a result holds; nothing is guessed from text."""

from collections.abc import Callable
from typing import Any, Final

from spanward.extract.chat import of_response
from spanward.extract.distribution import of_array, of_logits, of_probabilities, of_scalar
from spanward.extract.labelled import of_mapping, of_pair, of_ranking, of_record
from spanward.outcome import NOTHING, Outcome

Extractor = Callable[[Any], Outcome | None]
"""Says what a result says, or None of one that has another form."""

EXTRACTORS: Final[tuple[Extractor, ...]] = (
    of_mapping,
    of_scalar,
    of_ranking,
    of_probabilities,
    of_array,
    of_response,
    of_logits,
    of_pair,
    of_record,
)
"""Every extractor, in the order in which they are asked; a test compares this tuple with the functions of the folder."""

_SILENT: Final = frozenset({str, bytes, type(None)})


def outcome_of(result: object) -> Outcome:
    """Return what a result says of decision, score and tokens.

    Args:
        result: What the model function returned, or one item of it.
    """
    kind = type(result)
    if kind in _SILENT:
        return NOTHING
    if kind is dict and (outcome := of_mapping(result)) is not None:
        return outcome  # what most results are is not asked whether it is anything else
    if isinstance(result, Outcome):
        return result
    for extractor in EXTRACTORS:
        if (outcome := extractor(result)) is not None:
            return outcome
    return NOTHING
