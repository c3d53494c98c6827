"""What fails inside Spanward, or in what users gave it, stays there - and is loud in tests."""

import asyncio
import logging
import os
import re
import subprocess
import sys
from typing import Any

import pytest

import spanward
from captured import KEY
from spanward import semconv
from spanward.testing import CapturedSpans


def test_a_failing_extractor_is_seen_under_pytest(spans: CapturedSpans) -> None:
    """Our failures, and those of extractors, are not hidden from tests."""

    @spanward.inference(model="m", channel=lambda: 1 // 0)
    def predict() -> int:
        return 7

    with pytest.raises(ZeroDivisionError):
        predict()


TOLD = "spanward failed while {}; your code goes on untouched; SPANWARD_ERRORS=raise raises it"

FAILING = """
import gc, spanward; gc.disable()  # a pause would be told
from spanward.testing import capture_spans

def fail(*args):
    raise KeyError("secret", *args)

with capture_spans() as spans:
    @spanward.inference(model="m", {argument}=fail)
    def predict(text):
        return {{"label": "a", "score": 0.5}}

    assert predict("secret") == predict("secret") == {{"label": "a", "score": 0.5}}
    for span in spans.finished:
        told = span.attributes.keys() - {{"spanward.runtime.gc_pause_s"}}  # whether there was a pause is chance
        print(*sorted(told), span.status.status_code.name)
"""


@pytest.mark.parametrize(
    ("argument", "place", "lost"),
    [
        ("input", "hashing an input", {"count", "hash", "key_id", "fingerprint"}),
        ("channel", "asking for the channel", set[str]()),
        ("dimensions", "asking for dimensions", set[str]()),
        ("client", "asking for the client", set[str]()),
        ("decision", "asking for the decision", set[str]()),
        ("score", "asking for the score", set[str]()),
        ("tokens", "asking for tokens", set[str]()),
    ],
)
def test_a_failing_extractor_never_reaches_the_user(argument: str, place: str, lost: set[str]) -> None:
    """Outside of tests the call goes on, all else is still told, and the log names the line once, without content."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, "-c", FAILING.format(argument=argument)],
        env=environment | {"SPANWARD_HASHING_KEY": KEY.decode()},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == TOLD.format(f"{place} (KeyError in __main__, line 6)") + "\n"
    told = {semconv.DECISION, semconv.SCORE, semconv.SCORE_KIND, semconv.MODEL_NAME, semconv.CODE_FUNCTION_NAME}
    told |= {semconv.RUNTIME_CPU_S}
    told |= {
        name
        for name in (
            semconv.FEATURES_COUNT,
            semconv.FEATURES_HASH,
            semconv.FEATURES_KEY_ID,
            semconv.FEATURES_FINGERPRINT,
        )
        if name.rpartition(".")[2] not in lost
    }
    assert done.stdout.splitlines() == [" ".join([*sorted(told), "UNSET"])] * 2


BROKEN = """
import asyncio
import spanward
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from spanward_integrations.fastapi import instrument_fastapi
from starlette.testclient import TestClient

class BrokenSampler(Sampler):
    def should_sample(self, *args, **kwargs):
        raise OSError("secret")

    def get_description(self):
        return "broken"

class BrokenProcessor(SpanProcessor):
    def on_end(self, span):
        raise OSError("secret")

provider = TracerProvider(sampler={sampler})
provider.add_span_processor({processor}())
trace.set_tracer_provider(provider)

@spanward.inference(model="m")
def predict(text):
    return int(text)

@spanward.inference(model="m")
async def predict_later(text):
    return int(text)

app = FastAPI()
app.add_api_route("/{{text}}", lambda text: predict(text))
instrument_fastapi(app)
assert predict("7") == 7
assert asyncio.run(predict_later("7")) == 7
assert TestClient(app).get("/7").json() == 7
try:
    predict("seven")
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("sampler", "processor", "places"),
    [
        ("BrokenSampler()", "SpanProcessor", ["starting a span", "starting a server span"]),
        ("ALWAYS_ON", "BrokenProcessor", ["ending a span", "ending a server span"]),
    ],
)
def test_a_broken_sdk_never_reaches_the_user(sampler: str, processor: str, places: list[str]) -> None:
    """Results and the user's own exceptions are as without us, in functions, coroutines and requests."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, "-c", BROKEN.format(sampler=sampler, processor=processor)],
        env=environment | {"SPANWARD_HASHING_KEY": KEY.decode()},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "invalid literal for int() with base 10: 'seven'\n"
    told = re.sub(r"\(OSError in opentelemetry\.sdk\.trace, line \d+\)", "(OSError in theirs)", done.stderr)
    assert told.splitlines() == [TOLD.format(f"{place} (OSError in theirs)") for place in places]


TWO_OF_ONE_KIND = """
import spanward
from spanward.testing import capture_spans

def first(result):
    return result["missing"]

def second(result):
    return result["absent"]

with capture_spans():
    for _ in range(2):
        spanward.inference("one", score=first)(lambda: {})()
        spanward.inference("two", score=second)(lambda: {})()
"""


def test_each_failing_function_is_told_of_once() -> None:
    """Of two functions that fail alike the log names both, by their lines, however often they fail."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    done = subprocess.run(
        [sys.executable, "-c", TWO_OF_ONE_KIND],
        env=environment | {"SPANWARD_HASHING_KEY": KEY.decode()},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr.splitlines() == [
        TOLD.format(f"asking for the score (KeyError in __main__, line {line})") for line in (6, 9)
    ]


@pytest.mark.parametrize(("asked", "told"), [("raise", "ZeroDivisionError"), ("log", "your code goes on untouched")])
def test_whether_errors_are_raised_can_be_set(asked: str, told: str) -> None:
    """`SPANWARD_ERRORS` decides, under pytest or not."""
    program = (
        "import spanward\n"
        "from spanward.testing import capture_spans\n"
        "with capture_spans():\n"
        "    spanward.inference('m', channel=lambda: 1 // 0)(lambda: 7)()\n"
    )
    environment = {**os.environ, "SPANWARD_ERRORS": asked, "SPANWARD_HASHING_KEY": KEY.decode()}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)

    assert told in done.stderr
    assert (done.returncode != 0) == (asked == "raise")


class Unbound:
    """As a proxy of nothing: it raises whatever it is asked, its class included."""

    @property
    def __class__(self) -> Any:
        """Raise, as it stands for nothing yet."""
        raise RuntimeError("unbound")

    @__class__.setter
    def __class__(self, kind: type) -> None:
        raise RuntimeError("unbound")

    def __len__(self) -> int:
        raise RuntimeError("unbound")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class RaisingMapping(dict[str, object]):
    """A result that raises when it is read."""

    def __contains__(self, key: object) -> bool:
        raise RuntimeError(key)


class RaisingText(str):
    """An input that raises when it is measured."""

    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("length")


@pytest.mark.parametrize("kind", [Unbound, RaisingMapping, RaisingText])
def test_what_raises_when_it_is_looked_at_passes_unchanged(
    spans: CapturedSpans, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs and results may be of any class; functions, coroutines and blocks go on, and each has its span."""
    monkeypatch.setenv("SPANWARD_ERRORS", "log")
    monkeypatch.setattr(logging.getLogger("spanward"), "disabled", True)  # it warns of each
    value: object = kind()

    @spanward.inference("m")
    def predict(given: object) -> object:
        return given

    @spanward.inference("m")
    async def predict_later(given: object) -> object:
        return given

    assert predict(value) is value
    assert asyncio.run(predict_later(value)) is value
    with spanward.inference("m") as call:
        call.set(input=value, result=value, decision=value, score=value, client=value)
    assert len(spans.finished) == 3
