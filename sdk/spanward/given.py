"""Whether what a user gave the decorator is of the kinds it takes, told where it is given and not at the first call."""

from collections.abc import Mapping
from typing import Any, cast

from spanward.outcome import Tokens


def check_texts(**given: object) -> None:
    """Take texts.

    Args:
        given: Arguments by name; None where one was not given.

    Raises:
        TypeError: One is no text.
    """
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise _wrong(name, "text", value)


def check_functions(**given: object) -> None:
    """Take functions.

    Args:
        given: Arguments by name; None where one was not given.

    Raises:
        TypeError: One cannot be called.
    """
    for name, value in given.items():
        if value is not None and not callable(value):
            raise _wrong(name, "a function", value)


def check_texts_or_functions(**given: object) -> None:
    """Take constants or functions of the call.

    Args:
        given: Arguments by name; None where one was not given.

    Raises:
        TypeError: One is neither.
    """
    for name, value in given.items():
        if value is not None and not isinstance(value, str) and not callable(value):
            raise _wrong(name, "text or a function", value)


def check_dimensions(given: object) -> None:
    """Take a mapping of texts, or a function of the call.

    Args:
        given: The argument; None where it was not given.

    Raises:
        TypeError: It is neither.
    """
    if given is None or callable(given):
        return
    if not isinstance(given, Mapping):
        raise _wrong("dimensions", "a mapping or a function", given)
    for name, value in cast("Mapping[object, object]", given).items():
        if not isinstance(name, str):
            raise _wrong("dimensions", "named by text", name)
        check_texts(**{f"dimensions[{name!r}]": value})


def check_tokens(given: object) -> None:
    """Take token counts, or a function of the result.

    Args:
        given: The argument; None where it was not given.

    Raises:
        TypeError: It is neither.
    """
    if given is not None and not isinstance(given, Tokens) and not callable(given):
        raise _wrong("tokens", "spanward.Tokens or a function", given)


def check_form(given: Any) -> None:
    """Take the form of a fingerprint, and not its class.

    Args:
        given: The argument.

    Raises:
        TypeError: It is none.
    """
    if isinstance(given, type) or not hasattr(given, "cutter"):
        raise _wrong("fingerprint", "a form, as spanward.Shingles()", given)


def _wrong(name: str, rule: str, value: object) -> TypeError:
    """Return the error; of what is no simple constant the class alone is named."""
    got = repr(value) if isinstance(value, (bool, int, float)) else getattr(type(value), "__name__", "?")
    if isinstance(value, type):
        got = f"the class {value.__name__}"
    return TypeError(f"spanward.inference: {name} must be {rule}, got {got}")
