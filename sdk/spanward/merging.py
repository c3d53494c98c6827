"""When a call inside another is a part of it: one span then tells of both.

A pipeline that an integration observes, called by a function that the user decorated, is one inference, not two. The outer
call's own facts win over those of its parts; of several parts the last one's hold, and their tokens are added up.
"""

from typing import TYPE_CHECKING, Final, cast

from spanward import semconv
from spanward.items import Attributes

if TYPE_CHECKING:
    from spanward.observation import Observation

_NAMES: Final = frozenset({semconv.MODEL_NAME, semconv.GEN_AI_REQUEST_MODEL})
_ADDED_UP: Final = frozenset(
    {
        semconv.GEN_AI_USAGE_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
        semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
    }
)


def is_same_model(outer: "Observation", inner: "Observation") -> bool:
    """Return whether both observe one model: of equal name and version as far as both are known."""
    if outer.model is None or inner.model is None:
        return True
    versions = {outer.version, inner.version} - {None}
    return outer.model == inner.model and len(versions) < 2


def constants_of_part(outer: "Observation", inner: "Observation") -> Attributes:
    """Return what is fixed about a part and not about the whole."""
    return {name: value for name, value in inner.constants.items() if name not in outer.constants}


def names_of(observation: "Observation") -> Attributes:
    """Return the attributes that carry the name of an observation's model."""
    return {name: value for name, value in observation.constants.items() if name in _NAMES}


def add_part(parts: Attributes, facts: Attributes) -> None:
    """Add what one more part tells to what others have told."""
    for name, value in facts.items():
        if name == semconv.ERROR_TYPE:
            continue  # the whole may have gone another way
        if name in _ADDED_UP:
            parts[name] = cast("int", parts.get(name, 0)) + cast("int", value)
        else:
            parts[name] = value


def add_missing(facts: Attributes, parts: Attributes) -> None:
    """Add what parts told and the whole did not; token counts are never mixed."""
    whole_counted = semconv.TOKENS_SOURCE in facts
    for name, value in parts.items():
        if name not in facts and not (whole_counted and name in _ADDED_UP):
            facts[name] = value
