"""What the process did to a call besides the model: collecting garbage, and letting it wait for a thread.

Each reading costs less than a microsecond. Pauses are counted for the whole process, since a collection holds the
interpreter's lock: whichever thread runs it, all wait.
"""

import gc
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import update_wrapper
from threading import get_ident
from time import perf_counter_ns
from typing import Final, ParamSpec, TypeVar

from spanward.request import RequestContext

P = ParamSpec("P")
R = TypeVar("R")

NS_PER_S: Final = 1e9


class GarbagePauses:
    """How long collections of garbage have taken since `watch` was called first."""

    __slots__ = ("_since_ns", "_watching", "total_ns")

    def __init__(self) -> None:
        self.total_ns = 0
        self._since_ns = 0
        self._watching = False

    @property
    def collecting(self) -> bool:
        """Whether a collection is under way: then code runs inside of others' locks."""
        return self._since_ns != 0

    def watch(self) -> None:
        """Begin to measure; once is enough."""
        if not self._watching:
            self._watching = True
            gc.callbacks.append(self._note)

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._since_ns = perf_counter_ns()
        elif self._since_ns:
            self.total_ns += perf_counter_ns() - self._since_ns
            self._since_ns = 0


PAUSES: Final = GarbagePauses()

_TOLD: Final = -1
_handed_ns: Final[ContextVar[int]] = ContextVar("spanward handed over", default=0)


def take_wait_ns(request: RequestContext | None) -> int:
    """Return how long the running function waited for its thread, nanoseconds; 0 if it did not, or if that was told.

    Known of functions under `handoff`, and of those that run in another thread than the one that received the request: of
    them from its receipt on.

    Args:
        request: The request's context, where there is one.
    """
    waited = _handed_ns.get()
    if waited == _TOLD:
        return 0
    if waited == 0:
        if request is None or request.thread == get_ident():
            return 0
        waited = perf_counter_ns() - request.received_ns
    _handed_ns.set(_TOLD)
    return waited


def handoff(function: Callable[P, R]) -> Callable[P, R]:
    """Prepare a function for another thread: spans nest as if it were called here, and its wait is measured.

    `executor.submit(spanward.handoff(classify), text)`. The first model call inside says as `spanward.runtime.wait_s` how
    long it took from here until a thread was free. Each call of what is returned runs in its own copy of this context.

    Args:
        function: What is to run there.
    """
    context, measured = copy_context(), timed(function)

    def handed(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(measured, *args, **kwargs)

    return update_wrapper(handed, function)


def timed(function: Callable[P, R]) -> Callable[P, R]:
    """Prepare a function that is run in a context of its own, as AnyIO's threads do: only its wait is measured.

    Args:
        function: What is to run there, once.
    """
    since_ns = perf_counter_ns()

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        _handed_ns.set(perf_counter_ns() - since_ns)
        return function(*args, **kwargs)

    return run
