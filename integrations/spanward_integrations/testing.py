"""The kit every integration is judged by: small checks, each a sentence; `yield_checks` crosses them with a case."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from opentelemetry.trace import StatusCode

from spanward import semconv
from spanward.testing import capture_spans
from spanward_integrations.base import Integration
from spanward_integrations.leaving import CANARY, NUMBER, exported, forms_of, leaks

_NAMES: Final = {value for name, value in vars(semconv).items() if name.isupper()}


class Case(Protocol):
    """How the kit exercises one framework."""

    integration: Integration

    def target(self) -> Any:
        """Return what is used: a fresh application, model or client."""
        ...

    def instrument(self, target: Any) -> None:
        """Instrument it, or all of its kind."""
        ...

    def uninstrument(self, target: Any) -> None:
        """Undo that."""
        ...

    def patched(self) -> dict[str, object]:
        """Return everything that the instrumentor patches, by name, out of its owner's own dictionary."""
        ...

    def state(self, target: Any) -> object:
        """Return what instrumenting may change of it, to be compared by equality."""
        ...

    def call(self, target: Any) -> None:
        """Use it once, successfully."""
        ...

    def fail(self, target: Any) -> BaseException:
        """Use it so that it raises, and return the exception that reached the user."""
        ...

    def use_content(self, target: Any, content: str) -> Mapping[str, object]:
        """Put content wherever it can be, in good uses and in those that raise, and `NUMBER` where only numbers fit.

        Args:
            target: What is used; it is instrumented.
            content: Holds the canary. It is itself the input at least once, where inputs are texts; longer texts may hold it.

        Returns:
            What the user got, by place: outputs, messages of exceptions. Each holds the canary or the number.
        """
        ...


Check = Callable[[Case], None]


def check_absent_framework_names_the_command(case: Case) -> None:
    """Without the framework, asking for the integration says how to install it."""
    program = (
        "import sys\n"
        f"sys.modules['{case.integration.framework}'] = None\n"
        "from spanward_integrations import INTEGRATIONS, DidNotEnableError\n"
        f"integration = next(item for item in INTEGRATIONS if item.name == '{case.integration.name}')\n"
        "try: integration.instrument()\n"
        "except DidNotEnableError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert f"pip install 'spanward[{case.integration.extra}]'" in done.stdout, done.stdout + done.stderr


def check_instrumenting_twice_is_once(case: Case) -> None:
    """A second call changes nothing and doubles no span."""
    target = case.target()
    case.instrument(target)
    once = case.state(target)
    case.instrument(target)
    assert case.state(target) == once, "instrumenting twice must change nothing"
    case.uninstrument(target)


def check_the_instrumentor_restores_every_patched_object(case: Case) -> None:
    """What `opentelemetry-instrument` calls is undone to the very objects that were there, and does it once."""
    instrumentor = case.integration.load()
    assert list(instrumentor.instrumentation_dependencies()), "an instrumentor must say what it needs"
    before = case.patched()
    case.integration.instrument()
    case.integration.instrument()
    during = case.patched()
    case.integration.uninstrument()
    case.integration.uninstrument()
    assert before, "a case must name what is patched"
    for name, one in before.items():
        assert during[name] is not one, f"{name} must be patched"
        assert case.patched()[name] is one, f"{name} must be the very object that was there"


def check_uninstrument_restores(case: Case) -> None:
    """Afterwards everything is as it was, and no span is made; undoing twice is undoing once."""
    target = case.target()
    before = case.state(target)
    case.instrument(target)
    assert case.state(target) != before, "instrumenting must do something"
    case.uninstrument(target)
    case.uninstrument(target)
    assert case.state(target) == before, "uninstrumenting must restore what was"


def check_spans_are_made_and_named_by_semconv(case: Case) -> None:
    """A call makes spans of ours, and every attribute is spelled in `semconv`."""
    target = case.target()
    case.instrument(target)
    with capture_spans() as spans:
        case.call(target)
        ours = [
            span
            for span in spans.finished
            if span.instrumentation_scope and span.instrumentation_scope.name.startswith("spanward")
        ]
    case.uninstrument(target)
    assert ours, "a call must make a span"
    unknown = {name for span in ours for name in span.attributes or {}} - _NAMES
    assert not unknown, f"attributes that semconv does not spell: {unknown}"


def check_exceptions_pass_and_mark_the_span(case: Case) -> None:
    """The user gets the very exception, the span its class and nothing of its message."""
    target = case.target()
    case.instrument(target)
    with capture_spans() as spans:
        error = case.fail(target)
        marked = [span for span in spans.finished if span.status.status_code is StatusCode.ERROR]
    case.uninstrument(target)
    assert marked, "a failure must mark a span"
    for span in marked:
        assert str(error) not in str(span.attributes), "the message must stay in the process"
        assert span.status.description is None, "the message must stay in the process"


def check_no_content_leaves(case: Case) -> None:
    """Of content in every place it can be in, nothing is in any byte that OTLP's exporters send, in no clothes and no plain hash."""
    target, content = case.target(), f"{CANARY} content"
    case.instrument(target)
    with exported() as sent:
        got = case.use_content(target, content)
    case.uninstrument(target)
    assert sent.spans, "content must be in calls that are observed"
    for place, text in got.items():
        assert CANARY in str(text) or str(NUMBER) in str(text), f"{place}: content must have been there, got {text}"
    found = leaks(sent.bodies, forms_of(whole=[content.encode()]))
    assert not found, f"content leaves: {found}"


CHECKS: Final[tuple[Check, ...]] = (
    check_absent_framework_names_the_command,
    check_instrumenting_twice_is_once,
    check_the_instrumentor_restores_every_patched_object,
    check_uninstrument_restores,
    check_spans_are_made_and_named_by_semconv,
    check_exceptions_pass_and_mark_the_span,
    check_no_content_leaves,
)
"""Every check; a test compares this tuple with the functions of this module."""


def yield_checks() -> Iterator[tuple[str, Check]]:
    """Yield the name and function of every check."""
    for check in CHECKS:
        yield check.__name__, check
