"""`with spanward.inference(...) as call`, and calls inside calls."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import spanward
from captured import OF_THE_MOMENT, attributes_of
from spanward import semconv
from spanward.testing import CapturedSpans


def test_a_block_is_one_call(spans: CapturedSpans) -> None:
    """What is said of it is told, the input as size and hash only."""
    with spanward.inference("router", version="1", revision="abc", schema="s1") as call:
        assert trace.get_current_span() is call.span
        call.set(
            input="secret",
            decision="billing",
            score=0.5,
            margin=0.25,
            entropy=1.0,
            version="2",
            channel="mail",
            client="alice",
            trust="authenticated",
            dimensions={"region": "eu"},
            tokens=spanward.Tokens(input=3, output=4, cached=1, reasoning=2),
        )

    found = attributes_of(spans)
    told = {name: found[name] for name in found.keys() - OF_THE_MOMENT}
    assert {name: value for name, value in told.items() if "hash" not in name and "finger" not in name} == {
        semconv.MODEL_NAME: "router",
        semconv.MODEL_VERSION: "2",
        semconv.MODEL_REVISION: "abc",
        semconv.FEATURES_SCHEMA: "s1",
        semconv.FEATURES_COUNT: 6,
        semconv.FEATURES_KEY_ID: found[semconv.FEATURES_KEY_ID],
        semconv.DECISION: "billing",
        semconv.SCORE: 0.5,
        semconv.SCORE_KIND: "probability",
        semconv.MARGIN: 0.25,
        semconv.ENTROPY: 1.0,
        semconv.CHANNEL: "mail",
        semconv.CLIENT_ID: found[semconv.CLIENT_ID],
        semconv.CLIENT_TRUST: "authenticated",
        semconv.DIMENSION_PREFIX + "region": "eu",
        semconv.GEN_AI_USAGE_INPUT_TOKENS: 3,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: 4,
        semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 1,
        semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: 2,
        semconv.TOKENS_SOURCE: "exact",
    }


def test_a_block_reads_its_result_beside_what_was_said(spans: CapturedSpans) -> None:
    """What was said wins over what the result's form tells."""
    with spanward.inference("router") as call:
        call.set(result={"label": "a", "score": 0.5}, decision="b")

    found = attributes_of(spans)
    assert (found[semconv.DECISION], found[semconv.SCORE]) == ("b", 0.5)


def test_an_error_that_is_said_as_an_exception_is_told_as_its_class(spans: CapturedSpans) -> None:
    """Nothing is raised for it, and its message stays."""
    with spanward.inference("router") as call:
        call.set(error=KeyError("secret"))

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "KeyError"
    assert spans.finished[0].status.status_code is StatusCode.ERROR


def test_a_block_that_raises_fails(spans: CapturedSpans) -> None:
    """The exception passes, and its class is told."""

    def ask() -> None:
        with spanward.inference("router") as call:
            call.set(result={"label": "a"})
            raise KeyError("secret")

    with pytest.raises(KeyError):
        ask()

    assert attributes_of(spans)[semconv.ERROR_TYPE] == "KeyError"
    assert semconv.DECISION not in attributes_of(spans)
    assert spans.finished[0].status.status_code is StatusCode.ERROR


def test_an_error_that_nobody_raised_can_be_said(spans: CapturedSpans) -> None:
    """A response that holds an error is a call that failed; what is raised after that wins."""
    with spanward.inference("router") as call:
        call.set(error="quota")
    call = spanward.inference("router").start()
    call.set(error="quota")
    call.fail(ValueError())

    assert [(span.attributes or {})[semconv.ERROR_TYPE] for span in spans.finished] == ["quota", "ValueError"]
    assert [span.status.status_code for span in spans.finished] == [StatusCode.ERROR, StatusCode.ERROR]


def test_what_is_said_after_the_end_changes_nothing(spans: CapturedSpans) -> None:
    """A call that is kept too long does no harm."""
    with spanward.inference("router") as call:
        pass
    call.set(decision="late")
    call.end({"label": "late"})
    call.fail(KeyError())

    assert not {semconv.DECISION, semconv.ERROR_TYPE} & attributes_of(spans).keys()


def test_one_object_serves_blocks_at_the_same_time(spans: CapturedSpans) -> None:
    """An object of a module's may be entered by tasks and threads at once."""
    router = spanward.inference("router")

    async def ask(number: int) -> None:
        async with router as call:
            await asyncio.sleep(0)
            call.set(decision=str(number))
            await asyncio.sleep(0.01 * (3 - number))

    async def ask_all() -> None:
        await asyncio.gather(*map(ask, range(3)))

    def in_thread() -> None:
        with router as call:
            ready.wait()
            call.set(decision="thread")

    ready = threading.Barrier(2)
    thread = threading.Thread(target=in_thread)
    with router as call:
        thread.start()
        asyncio.run(ask_all())
        ready.wait()
        thread.join()
        call.set(decision="outer")

    decisions = [(span.attributes or {})[semconv.DECISION] for span in spans.finished]
    assert decisions == ["thread", "outer"]


def test_a_block_must_have_a_model() -> None:
    """Nothing names it otherwise."""
    with pytest.raises(TypeError, match="must be given the model's name"), spanward.inference():
        pass


def test_a_call_can_be_ended_elsewhere(spans: CapturedSpans) -> None:
    """`start` is for code in which another thread gets the answer."""
    call = spanward.inference("router").start("question")
    assert not trace.get_current_span().get_span_context().is_valid
    with call.active():
        assert trace.get_current_span() is call.span
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call.end, {"label": "a"}).result()

    found = attributes_of(spans)
    assert (found[semconv.DECISION], found[semconv.FEATURES_COUNT]) == ("a", 8)


def test_items_of_a_block(spans: CapturedSpans) -> None:
    """Items that are said one by one are the batch."""
    with spanward.inference("router", item_events=True) as call:
        for label in "aab":
            call.item(spanward.Outcome(decision=label, score=0.5))

    found = attributes_of(spans)
    assert (found[semconv.BATCH_SIZE], found[semconv.BATCH_DECISIONS], found[semconv.BATCH_DECISION_COUNTS]) == (
        3,
        ("a", "b"),
        (2, 1),
    )
    assert [(event.attributes or {})[semconv.ITEM_INDEX] for event in spans.finished[0].events] == [0, 1, 2]


# --- calls inside calls -----------------------------------------------------------------------------------------------


def pipeline(model: str | None, version: str | None = None) -> Any:
    """Return what an integration would wrap: it knows tokens and revision."""

    def run(text: str) -> dict[str, object]:
        with spanward.inference(model or "unnamed", version=version, revision="abc", framework="transformers") as call:
            call.set(tokens=spanward.Tokens(input=len(text)), decision="inner", score=0.25)
        return {"label": "raw"}

    return run


def test_a_call_of_the_same_model_is_a_part(spans: CapturedSpans) -> None:
    """There is one span: the outer call's facts win, the inner one's fill in, and tokens of several parts add up."""
    run = pipeline("router", "1")

    @spanward.inference("router")
    def classify(text: str) -> dict[str, object]:
        run(text)
        run(text)
        return {"label": "outer"}

    classify("four")

    found = attributes_of(spans)
    assert (found[semconv.DECISION], found[semconv.SCORE]) == ("outer", 0.25)
    assert found[semconv.GEN_AI_USAGE_INPUT_TOKENS] == 8
    assert (found[semconv.MODEL_VERSION], found[semconv.MODEL_REVISION]) == ("1", "abc")
    assert found[semconv.MODEL_FRAMEWORK] == "transformers"


def test_tokens_of_the_whole_and_of_its_parts_are_not_mixed(spans: CapturedSpans) -> None:
    """Where the outer call has counted, the parts' counts are left out."""
    run = pipeline("router")

    @spanward.inference("router", tokens=lambda _: spanward.Tokens(output=1))
    def classify(text: str) -> object:
        return run(text)

    classify("four")

    assert semconv.GEN_AI_USAGE_INPUT_TOKENS not in attributes_of(spans)


def test_a_call_without_a_models_name_takes_that_of_its_part(spans: CapturedSpans) -> None:
    """`@spanward.inference` above a pipeline that an integration observes gives one span, of the pipeline's model."""
    run = pipeline("bert", "2")

    @spanward.inference
    def classify(text: str) -> object:
        return run(text)

    classify("four")

    assert spans.finished[0].name == "inference bert"
    found = attributes_of(spans)
    assert (found[semconv.MODEL_NAME], found[semconv.MODEL_VERSION]) == ("bert", "2")
    assert str(found[semconv.CODE_FUNCTION_NAME]).endswith("classify")


@pytest.mark.parametrize(("model", "version"), [("bert", None), ("router", "2")])
def test_a_call_of_another_model_is_a_child(spans: CapturedSpans, model: str, version: str | None) -> None:
    """Another name or another version is another model, with a span of its own."""
    run = pipeline(model, version)

    @spanward.inference("router", version="1")
    def classify(text: str) -> object:
        return run(text)

    classify("four")

    inner, outer = spans.finished
    assert inner.parent == outer.context
    assert semconv.GEN_AI_USAGE_INPUT_TOKENS not in (outer.attributes or {})


def test_recursion_is_one_call(spans: CapturedSpans) -> None:
    """A function that calls itself is one inference, and afterwards none is current."""

    @spanward.inference("m")
    def countdown(number: int) -> int:
        return countdown(number - 1) if number else 0

    countdown(3)

    assert attributes_of(spans)[semconv.DECISION] == "0"
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_error_that_the_whole_survives_is_not_told(spans: CapturedSpans) -> None:
    """A part may fail and be tried again."""

    @spanward.inference("m")
    def part(failing: bool) -> str:
        if failing:
            raise KeyError
        return "x"

    @spanward.inference("m")
    def whole() -> str:
        with pytest.raises(KeyError):
            part(True)
        return part(False)

    assert whole() == "x"
    assert semconv.ERROR_TYPE not in attributes_of(spans)
    assert spans.finished[0].status.status_code is StatusCode.UNSET


def test_work_that_outlives_its_call_is_no_part(spans: CapturedSpans) -> None:
    """A task that runs on when the outer call has ended makes a span of its own, below it."""

    @spanward.inference("m")
    async def later() -> None:
        await asyncio.sleep(0.01)

    @spanward.inference("m")
    async def outer() -> "asyncio.Task[None]":
        await asyncio.sleep(0)
        return asyncio.ensure_future(waiting())

    async def waiting() -> None:
        await asyncio.sleep(0.01)
        await later()

    async def run() -> None:
        await (await outer())

    asyncio.run(run())
    first, second = spans.finished
    assert second.parent == first.context
