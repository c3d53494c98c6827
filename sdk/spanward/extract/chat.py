"""Responses of generating models in the forms that OpenAI and Anthropic gave them: usage and why it stopped, no content.

Source: OpenAI API reference (chat completions, responses, embeddings) and Anthropic Messages API, their streaming parts
included: usage comes in the last chunk of the first, in `response.completed` of the second, and in two parts of the third.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from spanward.outcome import Outcome, Tokens

_PLAIN: Final = frozenset({str, bytes, int, float, bool, list, tuple, type(None)})
_INPUT: Final = ("input_tokens", "prompt_tokens")
_OUTPUT: Final = ("output_tokens", "completion_tokens")
_CODE: Final = re.compile(r"[\w.-]{1,64}")
_CONVENTIONAL: Final[dict[Any, str]] = {"max_output_tokens": "length"}
"""Reasons of the Responses API that the GenAI conventions have another word for."""


def of_response(result: Any) -> Outcome | None:
    """Read a response or a chunk of one, as an object or as a mapping."""
    if type(result) in _PLAIN:
        return None
    # What streams wrap: `response.completed` holds a response, `message_start` a message.
    inner = _get(result, "response") or _get(result, "message") or result
    usage, choices = _get(inner, "usage") or _get(result, "usage"), cast("object", _get(inner, "choices"))
    told = cast("list[object]", choices) if isinstance(choices, list) else None
    reasons = _finish_reasons(inner, told)
    if usage is None and told is None and not reasons:
        return None
    model, response_id = _get(inner, "model"), _get(inner, "id")
    return Outcome(
        tokens=_tokens(usage),
        served=model if isinstance(model, str) else None,
        response_id=response_id if isinstance(response_id, str) else None,
        finish_reasons=reasons,
    )


def _tokens(usage: object) -> Tokens | None:
    if usage is None:
        return None
    taken, made = _count(usage, *_INPUT), _count(usage, *_OUTPUT)
    if taken is None and made is None:
        return None
    details = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
    cached = _count(details, "cached_tokens") if details else _count(usage, "cache_read_input_tokens")
    thought = _get(usage, "completion_tokens_details") or _get(usage, "output_tokens_details")
    return Tokens(taken, made, cached=cached, reasoning=_count(thought, "reasoning_tokens") if thought else None)


def _finish_reasons(response: object, choices: list[object] | None) -> tuple[str, ...]:
    """Return why generating stopped, one reason for each choice; a text that is no code is none."""
    if choices is None:
        cut_off = _get(_get(response, "incomplete_details"), "reason")
        given = [_get(response, "stop_reason") or _CONVENTIONAL.get(cut_off, cut_off)]
    else:
        given = [_get(choice, "finish_reason") for choice in choices]
    return tuple(reason for reason in given if isinstance(reason, str) and _CODE.fullmatch(reason))


def _get(holder: Any, name: str) -> Any:
    return cast("Any", holder).get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _count(holder: Any, *names: str) -> int | None:
    for name in names:
        if isinstance(value := _get(holder, name), int):
            return value
    return None
