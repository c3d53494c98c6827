"""The keys of the processor's configuration, read from its model, for tests of what is written about them."""

from collections.abc import Iterator
from typing import Any, Final, cast, get_args

from pydantic import BaseModel

REQUIRED: Final = object()
"""Stands for the default of a key that has none."""


def keys_of(model: type[BaseModel], path: str = "") -> dict[str, object]:
    """Return every key by its path, as `backends[].name`, with its default; that of a section is a model or None."""
    keys: dict[str, object] = {}
    for name, field in model.model_fields.items():
        here = f"{path}.{name}".lstrip(".")
        keys[here] = REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        for section in _sections(field.annotation):
            keys |= keys_of(section, here if not isinstance(keys[here], tuple) else f"{here}[]")
    return keys


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(cast("type[object]", annotation), BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
