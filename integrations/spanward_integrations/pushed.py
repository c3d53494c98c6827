"""Answers that are pushed one by one: a call that lasts until its last answer, though nobody iterates over a stream."""

from collections.abc import Callable
from threading import Thread
from time import perf_counter_ns, time_ns
from typing import Any, Final

from spanward import Call, Outcome
from spanward._guard import Guard
from spanward.extract import outcome_of
from spanward.progress import ABANDONED, COMPLETE, Progress
from spanward.runtime import PAUSES

_NOTHING: Final = object()

_noting: Final = Guard("noting an answer of a stream")
_ending: Final = Guard("ending a stream of answers")


class Pushed:
    """One call whose answers are pushed.

    Args:
        call: The call; it is ended here.
        read: Says of an answer what a result is, to be read by its form.
        outcome: Says what an answer says, in place of that.
    """

    def __init__(self, call: Call, read: Callable[[Any], object], outcome: Callable[[Any], Outcome] | None) -> None:
        self.call = call
        call.following = True
        self._read = read if outcome is None else _itself
        self._progress = Progress(outcome or (lambda answer: outcome_of(read(answer))), keeps=False)
        self._only: object = _NOTHING

    def __del__(self) -> None:
        if "_only" in self.__dict__ and not self.call.ended:
            self.abandon()

    def add(self, answer: object) -> None:
        """Count one answer."""
        with _noting:
            progress = self._progress
            progress.step(progress.last_ns)  # all the time since the answer before was the model's
            progress.note(self.call, answer)
            self._only = answer if progress.count == 1 else _NOTHING

    def end(self, error: BaseException | None = None, how: str = COMPLETE) -> None:
        """End the call after its last answer; an only answer is what the call returned.

        Args:
            error: What ended it, where that was an error.
            how: How it ended.
        """
        if self.call.ended:
            return
        with _ending:
            if error is None and self._only is not _NOTHING and self.call.counts:
                self.call.set(result=self._read(self._only))
            self._progress.tell(self.call, how)
        self._only = _NOTHING
        if error is None:
            self.call.end()
        else:
            self.call.fail(error)

    def abandon(self) -> None:
        """End a call of which nothing more will be heard, at the time of its last answer.

        Inside a garbage collection the thread may hold locks that ending a span asks for, so another thread does it.
        """
        call, end_time = self.call, time_ns() - (perf_counter_ns() - self._progress.last_ns)
        with _ending:
            self._progress.tell(call, ABANDONED)
        if PAUSES.collecting:
            Thread(target=call.end, kwargs={"end_time": end_time}, daemon=True).start()
        else:
            call.end(end_time=end_time)


def _itself(answer: object) -> object:
    return answer
