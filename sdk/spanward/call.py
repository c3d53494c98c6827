"""One call of a model under way: what is said of it before, during and after it, and the one span that tells it."""

from collections.abc import AsyncIterable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from threading import get_ident
from time import perf_counter_ns, thread_time_ns
from typing import Any, Final, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import Span

from spanward import semconv
from spanward._guard import Guard
from spanward.api import metrics_mode
from spanward.config import ALL, OFF
from spanward.extract import outcome_of
from spanward.failure import FAILURE, error_type
from spanward.items import MOST_EVENTS, Attributes, Items, attributes_of_item
from spanward.merging import add_missing, add_part, constants_of_part, is_same_model, names_of
from spanward.metrics import global_instruments
from spanward.observation import Observation, tell_client, tell_dimensions
from spanward.outcome import Outcome, Tokens, kind_of, real
from spanward.request import CLAIMED, current_request
from spanward.results import LONGEST_TEXT, tell_form, tell_outcome, tell_tokens
from spanward.runtime import NS_PER_S, PAUSES, take_wait_ns
from spanward.tracing import CALL, SPAN, SUPPRESSED, detach, global_tracing

AnyIterable = TypeVar("AnyIterable", bound=Iterable[Any] | AsyncIterable[Any])

_NONE: Final = object()
_NO_ARGUMENTS: Final[Mapping[str, Any]] = {}

_hashing: Final = Guard("hashing an input")
_starting: Final = Guard("starting a span")
_telling: Final = Guard("telling what is known of a call")
_ending: Final = Guard("ending a span")
_measuring: Final = Guard("recording metrics")
_setting: Final = Guard("taking what was said of a call")


class Call:
    """One call under way. `spanward.inference` makes it; it ends once, and what comes later changes nothing.

    Args:
        observation: What is fixed about it.
        span: Its span; the outer call's where it is a part of that.
        recording: Whether anybody will see what is told.
    """

    # What most calls never set is set here once, not for each of them.
    facts: Attributes
    items: Items | None = None
    following = False
    cpu_ns = 0
    duration_ns = 0
    load_ns = 0
    owns = True
    """Whether it is this call that ends the span."""
    _counted: Tokens | None = None
    _cpu_from_ns = 0
    _ended = False
    _outer: "Call | None" = None  # which it is a part of: one of the same model, whose span tells of both
    _parts: Attributes | None = None
    _result: object = _NONE
    _rows: int | None = None
    _thread = 0
    _wait_ns = 0

    def __init__(self, observation: Observation, span: Span, recording: bool) -> None:
        self.observation = self.identity = observation
        self.span = span
        self.recording = recording
        self.facts = {}
        self._gc_ns = PAUSES.total_ns
        self._started_ns = perf_counter_ns()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended

    @property
    def counts(self) -> bool:
        """Whether anybody wants to know its tokens: who sees the span, or who takes metrics of all calls."""
        return self.recording or metrics_mode() == ALL

    def set(
        self,
        *,
        input: object = _NONE,  # noqa: A002 - what it is
        result: object = _NONE,
        decision: object = None,
        score: object = None,
        kind: str | None = None,
        margin: float | None = None,
        entropy: float | None = None,
        tokens: Tokens | None = None,
        version: str | None = None,
        revision: str | None = None,
        channel: object = None,
        client: object = None,
        trust: str = CLAIMED,
        dimensions: Mapping[str, object] | None = None,
        error: str | BaseException | None = None,
    ) -> None:
        """Say something of the call; what is said here wins over what is found otherwise. Nothing is ever raised.

        Args:
            input: What the model takes; only its size and keyed hash leave.
            result: What it answers, to be read as the result of a decorated function is.
            decision: Label, class or top item.
            score: Confidence in it.
            kind: What the score is; by default `probability` where it can be one, else `score`.
            margin: First less second probability.
            entropy: Entropy of the distribution, nats.
            tokens: Token counts.
            version: Version of the model, as the server returned it.
            revision: Revision of the model.
            channel: Ingestion channel.
            client: Who asks; only its keyed hash leaves.
            trust: `authenticated` where the transport vouches for the client.
            dimensions: Further slices of low cardinality.
            error: Kind of what went wrong where nothing is raised, as an error inside a response: the span is then one that
                failed. Not a message; of an exception its class is taken.
        """
        facts = self.facts
        if error is not None:  # metrics tell it too, of calls that nobody records
            facts[semconv.ERROR_TYPE] = error[:LONGEST_TEXT] if isinstance(error, str) else error_type(error)
        if result is not _NONE:
            self._result = result
        try:
            if tokens is not None:
                facts.pop(semconv.TOKENS_SOURCE, None)
                tell_tokens(facts, tokens)
            if version is not None:
                facts[semconv.MODEL_VERSION] = str(version)[:LONGEST_TEXT]
            if not self.recording:
                return
            if input is not _NONE:
                self._rows = self.observation.tell_input(facts, (input,))
            if score is not None and (number := real(score)) is not None:
                facts[semconv.SCORE] = number
                facts[semconv.SCORE_KIND] = kind or kind_of(number)
            for name, number in ((semconv.MARGIN, margin), (semconv.ENTROPY, entropy)):
                if number is not None:
                    facts[name] = float(number)
            for name, value in (
                (semconv.DECISION, decision),
                (semconv.MODEL_REVISION, revision),
                (semconv.CHANNEL, channel),
            ):
                if value is not None:
                    facts[name] = str(value)[:LONGEST_TEXT]
            tell_client(facts, client, trust)
            tell_dimensions(facts, dimensions or {})
        except Exception as failure:  # noqa: BLE001 - values may be of any class
            _setting.swallow(failure)

    def item(self, outcome: Outcome) -> None:
        """Count one item of a batch or a stream; where items are events it becomes one.

        Args:
            outcome: What is known of it.
        """
        if not self.recording:
            return
        items = self.items = self.items or Items()
        if self.observation.item_events and items.count < MOST_EVENTS:
            self.span.add_event(semconv.ITEM_EVENT, attributes_of_item(items.count, outcome))
        items.add(outcome)

    def follow(self, stream: AnyIterable, *, outcome: Callable[[Any], Outcome] = outcome_of) -> AnyIterable:
        """Let the call last until a stream ends; leaving the `with` block then does not end it.

        Args:
            stream: What the model answers: an iterator, an async iterator, or an iterable.
            outcome: Says what one item says; default what its form tells.

        Returns:
            The stream, observed; it passes for the one that was given.
        """
        from spanward.stream import followed

        return cast("AnyIterable", followed(self, stream, outcome))

    @contextmanager
    def active(self) -> Generator[None]:
        """Make it the current call, and its span the current span, inside the block; nothing is ended by it."""
        token = attach(self.context())
        try:
            yield
        finally:
            detach(token)

    def context(self) -> Context:
        """Return the current context with this call and its span in it."""
        inside = get_current().copy()  # a plain dict: unpacking into a new one takes half as long again
        inside[SPAN], inside[CALL] = self.span, self
        return Context(inside)

    def watch_cpu(self) -> None:
        """Measure the CPU time of this thread from here to the end."""
        if self.recording and self.owns:
            self._thread = get_ident()
            self._cpu_from_ns = thread_time_ns()

    def leave_cpu(self) -> None:
        """Measure no further: from here on steps are measured one by one."""
        if self._cpu_from_ns and self._thread == get_ident():
            self.cpu_ns += thread_time_ns() - self._cpu_from_ns
        self._cpu_from_ns = 0

    def takes(self, observation: Observation) -> bool:
        """Return whether a call inside this one is a part of it: it is of the same model, or one of both has no name."""
        return not self._ended and is_same_model(self.identity, observation)

    def ask(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, asked: bool) -> None:
        """Gather what is known before the model is asked.

        Args:
            args: Positional arguments of the call.
            kwargs: Keyword arguments of the call.
            asked: Whether they are the model's input.
        """
        observation = self.observation
        facts = self.facts = dict(observation.constants)
        if observation.asks:
            observation.tell_caller(facts, args, kwargs)
        if asked:
            try:
                choose = observation.input
                values = (choose(*args, **kwargs),) if choose else observation.parameters.inputs(args, kwargs)
                self._rows = observation.tell_input(facts, values)
            except Exception as error:  # noqa: BLE001 - a user's function, or an argument of any class
                _hashing.swallow(error)
        if (request := current_request()) is not None:
            observation.tell_request(facts, request)
            self._counted = request.tokens
        self._wait_ns = take_wait_ns(request)

    def ask_for_tokens(self) -> None:
        """Gather what metrics alone want to know."""
        if (request := current_request()) is not None:
            self._counted = request.tokens

    def begin_part(self, observation: Observation) -> "Call":
        """Return a call that is a part of this one; a call without a model's name takes that of its first part."""
        if self.identity.model is None and observation.model is not None:
            self.rename(observation)
        self._parts = self._parts or {}
        self._parts.update(constants_of_part(self.observation, observation))
        part = Call(observation, self.span, self.recording)
        part.identity, part.owns, part._outer = self.identity, False, self
        return part

    def rename(self, observation: Observation) -> None:
        """Take the name of another observation, and so do the calls this is a part of."""
        self.identity = observation
        if self._outer is not None:
            self._outer.rename(observation)
        elif self.recording:
            self.span.update_name(observation.span_name)
            self.facts.update(names_of(observation))

    def add_part(self, facts: Attributes) -> None:
        """Add what a part tells, its tokens to those of other parts."""
        self._parts = self._parts or {}
        add_part(self._parts, facts)

    def add_loading(self, took_ns: int) -> None:
        """Add the time that loading a model took inside this call."""
        if self._outer is not None:
            self._outer.add_loading(took_ns)
        self.load_ns += took_ns

    def end(self, result: object = _NONE, *, end_time: int | None = None) -> None:
        """End a call; what it returned is read, and not kept.

        Args:
            result: What the model answers.
            end_time: When it ended, nanoseconds since the epoch; default now.
        """
        if self._ended:
            return
        self._ended = True
        self.duration_ns = perf_counter_ns() - self._started_ns
        mode, recording = metrics_mode(), self.recording
        if self._cpu_from_ns:
            self.leave_cpu()
        try:
            if result is _NONE:
                result = self._result
            if result is not _NONE and (recording or mode == ALL):
                self._read(result)
            if recording or mode != OFF:
                self._tell()
        except Exception as failure:  # noqa: BLE001
            _telling.swallow(failure)
        if not self.owns:
            return
        try:
            self.span.end(end_time)
        except Exception as failure:  # noqa: BLE001 - a processor of the user's may raise
            _ending.swallow(failure)
        if mode == OFF:
            return
        try:
            instruments = self.observation.instruments or global_instruments()
            instruments.record(mode, self.identity, self.span, self.facts, self.duration_ns / NS_PER_S)
        except Exception as failure:  # noqa: BLE001
            _measuring.swallow(failure)

    def fail(self, error: BaseException) -> None:
        """End a call that raised; the message stays here, it may hold the input."""
        if not self._ended:
            self.facts[semconv.ERROR_TYPE] = error_type(error)
            self._result = _NONE
            self.end()

    def _tell(self) -> None:
        """Gather what is known in the order of its weight, and give all of it to the span at once: each time is a lock."""
        facts = self.facts
        if self.items is not None:
            self._tell_items(self.items)
        if self._parts is not None:
            add_missing(facts, self._parts)
        if self._outer is not None:
            self._outer.add_part(facts)
        if not self.owns:
            return
        if self._counted is not None:
            tell_tokens(facts, self._counted)
        if not self.recording:
            return
        if self.cpu_ns:
            facts[semconv.RUNTIME_CPU_S] = self.cpu_ns / NS_PER_S
        if (paused := PAUSES.total_ns - self._gc_ns) > 0:
            facts[semconv.RUNTIME_GC_PAUSE_S] = paused / NS_PER_S
        if self._wait_ns:
            facts[semconv.RUNTIME_WAIT_S] = self._wait_ns / NS_PER_S
        if self.load_ns:
            facts[semconv.RUNTIME_MODEL_LOAD_S] = self.load_ns / NS_PER_S
        if semconv.ERROR_TYPE in facts:
            self.span.set_status(FAILURE)
        self.span.set_attributes(facts)

    def _read(self, result: object) -> None:
        readers = self.observation.readers
        if readers is not None:
            readers.tell(self.facts, result)
        items = tell_form(self.facts, result, self._rows, readers)
        if items is not None and self.observation.item_events:
            for index, one in zip(range(MOST_EVENTS), cast("Iterable[object]", result), strict=False):
                self.span.add_event(semconv.ITEM_EVENT, attributes_of_item(index, outcome_of(one)))

    def _tell_items(self, items: Items) -> None:
        """Tell the statistics of items; an only one speaks for the call."""
        if items.count == 1 and items.last is not None:
            tell_outcome(self.facts, items.last)
            return
        items.tell(self.facts)
        if not self.following:
            self.facts.setdefault(semconv.BATCH_SIZE, items.count)


def begin(
    observation: Observation,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] = _NO_ARGUMENTS,
    *,
    asked: bool = True,
) -> Call:
    """Begin a call: start its span, or make it a part of the call it is in; when nobody records nothing is hashed.

    Args:
        observation: What is fixed about it.
        args: Positional arguments of the call.
        kwargs: Keyword arguments of the call.
        asked: Whether the arguments are the model's input.
    """
    above = get_current()
    outer: Any = above.get(CALL)
    if outer is not None and outer.takes(observation):
        part: Call = outer.begin_part(observation)
        return part
    if above.get(SUPPRESSED):
        unseen = Call(observation, trace.get_current_span(above), False)
        unseen.owns = False
        return unseen
    span: Span = trace.INVALID_SPAN
    try:
        tracing = observation.tracing or global_tracing()
        constants = observation.constants if tracing.at_start else None
        span = tracing.tracer.start_span(observation.span_name, above, observation.span_kind, constants)
    except Exception as error:  # noqa: BLE001 - a sampler or processor of the user's may raise
        _starting.swallow(error)
    call = Call(observation, span, span.is_recording())
    if call.recording:
        call.ask(args, kwargs, asked=asked)
    elif call.counts:
        call.ask_for_tokens()
    return call
