"""Streams: a call lasts until its stream ends, and is current only while the stream makes its next item.

Between two steps nothing of ours is attached where the consumer runs, so nothing can be detached in the wrong place. What
the stream's own code attached between two steps, as a span around a `yield`, is kept for its next step.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextvars import Token
from threading import Thread
from time import perf_counter_ns, thread_time_ns, time_ns
from types import AsyncGeneratorType, GeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.context import Context, attach, get_current

from spanward._guard import Guard
from spanward.extract import outcome_of
from spanward.outcome import Outcome, class_of
from spanward.progress import ABANDONED, CANCELLED, COMPLETE, FAILED, Progress
from spanward.runtime import PAUSES
from spanward.tracing import CALL, detach

if TYPE_CHECKING:
    from spanward.call import Call

Step = tuple[Token[Context], int, int]
"""What a step began with: how to detach, when, and the thread's CPU time where that is measured."""

_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled"})  # asyncio's, and trio's; importing neither

_GENERATORS: Final = frozenset({GeneratorType, AsyncGeneratorType})

_following: Final = Guard("following a stream")
_abandoning: Final = Guard("ending an abandoned stream")


def is_stream(result: object) -> bool:
    """Return whether a result is a stream that is followed without being asked to.

    Generators are, and other iterators that can be closed, as the clients of model servers return; files are not, nor are
    `map`, `zip` and their like.
    """
    kind = class_of(result)  # not `isinstance`: it asks the result, and a proxy of nothing raises
    if kind in _GENERATORS:
        return True
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
        return (hasattr(kind, "close") or hasattr(kind, "aclose")) and not hasattr(kind, "read")
    return False


def followed(call: "Call", result: Any, outcome: Callable[[Any], Outcome] = outcome_of) -> Any:
    """Return a stream observed until its end; a result that cannot be iterated ends the call as it is.

    Args:
        call: The call that made it.
        result: An iterator, an async iterator, or an iterable of either kind.
        outcome: Says what one item says.
    """
    kind = class_of(result)
    asynchronous = hasattr(kind, "__anext__") or hasattr(kind, "__aiter__")
    if not asynchronous and not hasattr(kind, "__next__") and not hasattr(kind, "__iter__"):
        call.end(result)
        return result
    call.following = True
    call.leave_cpu()
    if asynchronous:
        return AsyncStream(call, result, outcome)
    return (SizedStream if hasattr(kind, "__len__") else Stream)(call, result, outcome)


def _unknown() -> int:
    return 0


class _Steps:
    """What both kinds of streams share: which call they belong to, and how it ends."""

    _call: "Call"
    _inner: Any
    _context: Context
    _outside: Context
    _progress: Progress
    _stepping: bool
    _cpu: Callable[[], int]

    def __init__(self, call: "Call", inner: Any, outcome: Callable[[Any], Outcome] = outcome_of) -> None:
        self._call = call
        self._inner = inner
        self._context = call.context()
        self._progress = Progress(outcome, keeps=call.counts and call.observation.readers is not None)
        self._outside = get_current()
        self._stepping = False

    @property
    def __class__(self) -> type:
        """The class of the stream that is followed: who asks for it gets the answer as without us."""
        return cast("type", class_of(self._inner))

    @__class__.setter
    def __class__(self, kind: type) -> None:
        raise TypeError("the class of a followed stream cannot be set")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

    def __del__(self) -> None:
        # Not reached where a constructor failed half way.
        if "_stepping" in self.__dict__ and not self._call.ended:
            with _abandoning:
                self._drop()

    def _enter(self) -> Step:
        self._stepping = True
        cpu_ns = 0 if self._progress.brief else self._cpu()
        return attach(self._context), perf_counter_ns(), cpu_ns

    def _leave(self, step: Step) -> None:
        token, since_ns, cpu_ns = step
        self._context = get_current()
        detach(token)
        self._outside = get_current()
        self._stepping = False
        self._progress.step(since_ns)
        if cpu_ns:
            self._call.cpu_ns += self._cpu() - cpu_ns

    def _note(self, item: object) -> None:
        try:
            self._progress.note(self._call, item)
        except Exception as error:  # noqa: BLE001 - an item may be of any class
            _following.swallow(error)

    def _finish(self, error: BaseException | None, value: object = None) -> None:
        """End the call after a step that made no item."""
        how = COMPLETE if error is None else _way_of(error)
        with _following:
            self._progress.tell(self._call, how)
        if error is not None and how != ABANDONED:
            self._call.fail(error)
        elif value is not None:
            self._call.end(value)
        else:
            self._call.end()

    def _drop(self) -> None:
        """End the call of a stream that nobody holds any more, at the time of its last step.

        Inside a garbage collection the thread may hold locks that ending a span asks for, so another thread does it. And a
        generator that was collected first has closed a span of its own around a `yield` by restoring what was before that:
        ours, here where it never was.
        """
        call, end_time = self._call, time_ns() - (perf_counter_ns() - self._progress.last_ns)
        if get_current().get(CALL) is call:
            attach(self._outside)
        self._close_inner()
        self._progress.tell(call, ABANDONED)
        if PAUSES.collecting:
            Thread(target=call.end, kwargs={"end_time": end_time}, daemon=True).start()
        else:
            call.end(end_time=end_time)

    def _close_inner(self) -> None:
        """Close a generator that only we hold."""


class Stream(_Steps):
    """An iterator or generator, followed."""

    _cpu = staticmethod(thread_time_ns)

    def __init__(self, call: "Call", inner: Any, outcome: Callable[[Any], Outcome] = outcome_of) -> None:
        super().__init__(call, inner, outcome)
        self._iterator: Iterator[Any] | None = inner if hasattr(class_of(inner), "__next__") else None

    def __iter__(self) -> Iterator[Any]:
        if self._call.ended:  # an iterable that is read once more is no longer the call's answer
            again = iter(self._inner)
            return cast("Iterator[Any]", self) if again is self._inner else again
        if not self._progress.count:  # some are iterators only once they have been asked for one
            self._iterator = iter(self._inner)
        return cast("Iterator[Any]", self)

    def __next__(self) -> Any:
        iterator = self._iterator
        return self._step(next, self._inner if iterator is None else iterator)

    def send(self, value: object) -> Any:
        """Resume a generator with a value."""
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception where a generator waits."""
        return self._step(self._inner.throw, *error)

    def close(self) -> Any:
        """Close the stream; where it has not ended, it is abandoned."""
        close: Callable[[], Any] = getattr(self._inner, "close", _nothing)
        if self._stepping or self._call.ended:
            return close()
        step = self._enter()
        try:
            closed = close()
        except BaseException as error:
            self._leave(step)
            self._finish(error)
            raise
        self._leave(step)
        self._finish(GeneratorExit())
        return closed

    def __enter__(self) -> Any:
        entered = self._inner.__enter__()
        return self if entered is self._inner else entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        if not self._call.ended:
            self._finish(error or GeneratorExit())
        return self._inner.__exit__(kind, error, trace)

    def _step(self, advance: Callable[..., Any], *args: Any) -> Any:
        if self._stepping or self._call.ended:
            return advance(*args)
        step = self._enter()
        try:
            item = advance(*args)
        except StopIteration as stop:
            self._leave(step)
            self._finish(None, stop.value)
            raise
        except BaseException as error:
            self._leave(step)
            self._finish(error)
            raise
        self._leave(step)
        self._note(item)
        return item

    def _close_inner(self) -> None:
        # It closes anyway now: better here, where its `finally` sees its own span, than on its own.
        inner: object = self._inner
        if isinstance(inner, GeneratorType):
            step = self._enter()
            try:
                inner.close()
            finally:
                self._leave(step)


class SizedStream(Stream):
    """A stream that says how many items it has, as progress bars ask; a class of its own, since a generator has no length."""

    def __len__(self) -> int:
        return len(self._inner)


class AsyncStream(_Steps):
    """An async iterator or async generator, followed; other tasks take CPU time meanwhile, so that is not measured."""

    _cpu = staticmethod(_unknown)

    def __init__(self, call: "Call", inner: Any, outcome: Callable[[Any], Outcome] = outcome_of) -> None:
        super().__init__(call, inner, outcome)
        self._iterator: AsyncIterator[Any] | None = inner if hasattr(class_of(inner), "__anext__") else None

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._iterator is not self._inner and self._call.ended:
            return cast("AsyncIterable[Any]", self._inner).__aiter__()
        if self._iterator is None:
            self._iterator = cast("AsyncIterable[Any]", self._inner).__aiter__()
        return cast("AsyncIterator[Any]", self)

    def __anext__(self) -> Any:
        iterator = self._iterator
        return self._step((self._inner if iterator is None else iterator).__anext__)

    def asend(self, value: object) -> Any:
        """Resume an async generator with a value."""
        return self._step(self._inner.asend, value)

    def athrow(self, *error: Any) -> Any:
        """Raise an exception where an async generator waits."""
        return self._step(self._inner.athrow, *error)

    def aclose(self) -> Any:
        """Close the stream; where it has not ended, it is abandoned."""
        return self._close(getattr(self._inner, "aclose", None))

    def close(self) -> Any:
        """Close the stream of a client that names its coroutine so."""
        return self._close(self._inner.close)

    async def __aenter__(self) -> Any:
        entered = await self._inner.__aenter__()
        return self if entered is self._inner else entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        if not self._call.ended:
            self._finish(error or GeneratorExit())
        return await self._inner.__aexit__(kind, error, trace)

    async def _step(self, advance: Callable[..., Any], *args: Any) -> Any:
        if self._stepping or self._call.ended:
            return await advance(*args)
        step = self._enter()
        try:
            item = await advance(*args)
        except StopAsyncIteration:
            self._leave(step)
            self._finish(None)
            raise
        except BaseException as error:
            self._leave(step)
            self._finish(error)
            raise
        self._leave(step)
        self._note(item)
        return item

    async def _close(self, close: Callable[[], Any] | None) -> Any:
        if self._stepping or self._call.ended:
            return await close() if close else None
        step = self._enter()
        try:
            closed = await close() if close else None
        except BaseException as error:
            self._leave(step)
            self._finish(error)
            raise
        self._leave(step)
        self._finish(GeneratorExit())
        return closed


def _way_of(error: BaseException) -> str:
    if isinstance(error, GeneratorExit):
        return ABANDONED
    return CANCELLED if type(error).__name__ in _CANCELLATIONS else FAILED


def _nothing() -> None:
    """Close what has nothing to close."""
