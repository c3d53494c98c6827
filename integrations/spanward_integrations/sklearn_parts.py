"""What runs inside a prediction or a training of scikit-learn is a part of it, also in joblib's threads and processes."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.context import attach, create_key, detach, get_value, set_value

_INSIDE: Final = create_key("spanward-sklearn")


def is_inside() -> bool:
    """Return whether an estimator that is asked here is asked by another one."""
    return bool(get_value(_INSIDE))


@contextmanager
def inside() -> Generator[None]:
    """Let estimators that are asked here be parts of the one that asks."""
    token = attach(set_value(_INSIDE, True))
    try:
        yield
    finally:
        detach(token)


def in_parallel(wrapped: Callable[..., Any], _parallel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run `joblib.Parallel` with what it is given as parts, where it is an estimator that does; for `Patches.wrap`."""
    return wrapped(_parts(args[0]), *args[1:], **kwargs) if args and is_inside() else wrapped(*args, **kwargs)


def _parts(tasks: Iterable[Any]) -> Generator[Any]:
    """Yield the tasks of an estimator as its parts; joblib asks for some of them from other threads."""
    iterator = iter(tasks)
    while True:
        with inside():
            task = next(iterator, None)
        if task is None:
            return
        delayed: Any = task[0]
        if hasattr(delayed, "function"):
            delayed.function = _Part(delayed.function)
        yield task


class _Part:
    """A function that runs as a part; processes of joblib get it pickled.

    Args:
        function: The function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with inside():
            return self._function(*args, **kwargs)
