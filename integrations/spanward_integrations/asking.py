"""How a model is asked while a call of it is under way: the same for every framework that answers in the thread of its caller."""

from collections.abc import Callable, Mapping
from typing import Any

from spanward import Call


def ask(call: Call, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return what a model answers; what it raises ends the call, and passes unchanged.

    Args:
        call: Its call: the current one meanwhile, and this thread's CPU time is its own. It goes on.
        wrapped: What asks the model.
        args: Positional arguments.
        kwargs: Keyword arguments.
    """
    with call.active():
        call.watch_cpu()
        try:
            return wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            raise
