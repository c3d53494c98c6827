"""A mistake in the operator's file in the operator's words: `path: rule, got value`, and never a secret."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final, cast, get_args

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
    "union_tag_not_found": "must be given",
}
_SHOULD: Final = re.compile("^Value error, |^[A-Z][a-z]+ should ")
_FORMS: Final = ("canary", "executors")  # a list whose items are of several forms, told apart by their `kind`


def in_words(error: ErrorDetails, root: type[BaseModel], filled: set[str]) -> str:
    """Return the line that tells an operator of a mistake.

    Args:
        error: The mistake, as pydantic has found it.
        root: What the whole file is read as; it knows the keys that there are.
        filled: Paths of values that came from the environment, and are shown to nobody.
    """
    location = error["loc"]
    if location[:2] == _FORMS:  # the kind stands in the location, and not in the file
        location = (*location[:3], *(location[4:] if len(location) > 3 else ["kind"]))
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if part != "[key]" else ""
    path = path.lstrip(".") or "configuration"
    if error["type"] == "extra_forbidden":
        return f"{path}: must be a known key{_suggestion(error['loc'], root)}"
    rule = _SHOULD.sub("", error["msg"])
    rule = _RULES.get(error["type"], f"must {rule}" if rule.startswith(("be", "have")) else rule)
    if error["type"] == "union_tag_invalid":
        wrong = error.get("ctx", {})
        return f"{path}: must be one of {wrong.get('expected_tags')}, got {wrong.get('tag')!r}"
    return f"{path}: {rule}{_shown(path, error, filled)}"


def _suggestion(location: tuple[int | str, ...], root: type[BaseModel]) -> str:
    names = list(_section(location[:-1], root).model_fields)
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(names)}"


def _section(location: tuple[int | str, ...], root: type[BaseModel]) -> type[BaseModel]:
    """Return the section at a location."""
    sections: list[type[BaseModel]] = [root]
    for part in location:
        if isinstance(part, int):
            continue
        if len(sections) > 1:  # of several forms: here the location names the kind
            sections = [form for form in sections if part in get_args(form.model_fields["kind"].annotation)]
        else:
            section = sections[0].model_fields.get(part)
            sections = list(_models(section.annotation)) if section else []
        sections = sections or [root]
    return sections[0]


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    """Yield the sections an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(cast("type[object]", annotation), BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _shown(path: str, error: ErrorDetails, filled: set[str]) -> str:
    value: object = error["input"]
    if error["type"] in {"missing", "union_tag_not_found"} or (
        error["type"] == "value_error" and isinstance(value, dict | list | tuple)
    ):
        return ""  # the rule names what it is about
    if _SECRET.search(path) or any(place.startswith(path) for place in filled):
        return ", got ***"
    return ", got a mapping" if isinstance(value, dict) else f", got {_USER_INFO.sub('//***@', repr(value))}"
