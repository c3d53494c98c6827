"""How something that failed is told of: by its kind, never by its message, which may hold the input."""

from typing import Final

from opentelemetry.trace import Status, StatusCode

FAILURE: Final = Status(StatusCode.ERROR)  # without a description: it would hold the message


def error_type(error: BaseException) -> str:
    """Return the qualified name of an exception's class, as `error.type` asks."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
