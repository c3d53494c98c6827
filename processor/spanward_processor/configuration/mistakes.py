"""A mistake in the operator's file in the operator's words: `path: rule, got value`, and never a secret."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_SECRET: Final = re.compile(r"headers|key_file|token|password|secret", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"//[^/@]*@")
_RULES: Final = {
    "missing": "must be given",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "tuple_type": "must be a list",
    "string_type": "must be a text",
    "invalid_key": "must be a text",
}


def in_words(error: ErrorDetails, root: type[BaseModel], filled: set[str]) -> str:
    """Return the line that tells an operator of a mistake.

    Args:
        error: The mistake, as pydantic has found it.
        root: What the whole file is read as; it knows the keys that there are.
        filled: Paths of values that came from the environment, and are shown to nobody.
    """
    path = ""
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if part != "[key]" else ""
    path = path.lstrip(".") or "configuration"
    if error["type"] == "extra_forbidden":
        return f"{path}: must be a known key{_suggestion(error['loc'], root)}"
    rule = error["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    rule = _RULES.get(error["type"], f"must {rule}" if rule.startswith("be") else rule)
    return f"{path}: {rule}{_shown(path, error, filled)}"


def _suggestion(location: tuple[int | str, ...], root: type[BaseModel]) -> str:
    model: Any = root
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        names = list(_models(model.model_fields[part].annotation)) if part in model.model_fields else []
        model = names[0] if names else root
    close = difflib.get_close_matches(str(location[-1]), list(model.model_fields), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(model.model_fields)}"


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    """Yield the sections an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(cast("type[object]", annotation), BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _shown(path: str, error: ErrorDetails, filled: set[str]) -> str:
    value: object = error["input"]
    if error["type"] == "missing" or (error["type"] == "value_error" and isinstance(value, dict | list | tuple)):
        return ""  # the rule names what it is about
    if _SECRET.search(path) or any(place.startswith(path) for place in filled):
        return ", got ***"
    return ", got a mapping" if isinstance(value, dict) else f", got {_USER_INFO.sub('//***@', repr(value))}"
