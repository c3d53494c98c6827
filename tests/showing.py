"""Prints what integrations and streams do, as tables: `PYTHONPATH=tests python -m showing [streams] [tasks] [patches]`, all by default.

What a table shows is tested elsewhere; this is to be read. Integrations whose framework is missing are left out, so that an environment
with torch, or one with tritonclient, shows its own.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import spanward
from integration_cases import CASES
from spanward import semconv
from spanward.testing import capture_spans
from spanward_integrations import INTEGRATIONS

ITEMS: Final = 3
TEXT: Final = "my invoice is wrong"
Row = tuple[object, ...]
Table = Callable[[], None]
"""Prints one."""


def show(title: str, head: Sequence[str], rows: Sequence[Row]) -> None:
    """Print a table."""
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


# --- streams ---------------------------------------------------------------------------------------------------------


class _Errors(logging.Handler):
    """Counts what OpenTelemetry logs, as where a context is detached elsewhere than it was attached."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += 1


@spanward.inference("writer")
def write(raising: bool = False) -> Iterator[str]:
    """Yield some words."""
    yield from ["word"] * (ITEMS - 1)
    if raising:
        raise ValueError
    yield "word"


@spanward.inference("writer")
async def write_later(raising: bool = False, waiting: bool = False) -> AsyncIterator[str]:
    """Yield some words from a coroutine."""
    for word in write.__wrapped__(raising):  # type: ignore[attr-defined] # pyright: ignore
        yield word
        await asyncio.sleep(60 if waiting else 0)


def read(how: str) -> None:
    """Read a stream, and leave it in some way."""
    if how == "closed":
        stream: Any = write()
        next(stream)
        stream.close()
        return
    for _ in write(how == "raising"):
        if how == "abandoned":
            break


async def read_later(how: str) -> None:
    """Do the same in a coroutine; it may also be cancelled while the stream makes an item."""
    stream: Any = write_later(how == "raising", how == "cancelled")
    if how == "closed":
        await anext(stream)
        await stream.aclose()
    elif how == "cancelled":
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    else:
        async for _ in stream:
            if how == "abandoned":
                break
        stream = None


def _run_later(how: str) -> None:
    asyncio.run(read_later(how))


def streams() -> None:
    """Show how a stream's span ends, in every way in which it can be left."""
    rows: list[Row] = []
    for how in ("whole", "closed", "abandoned", "raising", "cancelled"):
        rows += [("sync", how, *_left(partial(read, how)))] if how != "cancelled" else []
        rows.append(("async", how, *_left(partial(_run_later, how))))
    show("Streams", ("kind", "left", "spans", "`spanward.stream.end`", "items", "`error.type`", "errors logged"), rows)


def _left(use: Callable[[], None]) -> Row:
    errors = _Errors()
    logging.getLogger("opentelemetry").addHandler(errors)
    with capture_spans() as spans:
        with suppress(ValueError):  # what the stream raises
            use()
        told: dict[str, Any] = dict(spans.finished[0].attributes or {})
    logging.getLogger("opentelemetry").removeHandler(errors)
    ended, items = told[semconv.STREAM_END], told[semconv.STREAM_ITEMS]
    return len(spans.finished), ended, items, told.get(semconv.ERROR_TYPE, ""), errors.count


# --- tasks of Hugging Face -------------------------------------------------------------------------------------------


def tasks() -> None:
    """Show what each task tells, its tokens beside what the tokenizer makes of the same texts."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        return
    import huggingface_models as models

    image: Any = import_module("PIL.Image").new("RGB", (8, 8), "red")
    labels = ["invoice", "parcel"]
    asked: list[tuple[Any, object, dict[str, Any]]] = [
        (models.classifier(), TEXT, {}),
        (models.classifier(), [TEXT, "late"], {"batch_size": 2}),
        (models.tagger(), TEXT, {}),
        (models.mask_filler(), "my [MASK] is wrong", {}),
        (models.zero_shot(), TEXT, {"candidate_labels": labels, "hypothesis_template": "about {}"}),
        (models.extractor(), TEXT, {}),
        (models.generator(), TEXT, {"max_new_tokens": 5, "do_sample": False}),
        (models.image_classifier(), image, {}),
    ]
    integration = next(one for one in INTEGRATIONS if one.name == "huggingface")
    integration.instrument()
    rows = [_of_task(*one) for one in asked]
    integration.uninstrument()
    head = ("task", "rows", "tokens in", "by the tokenizer", "tokens out", "decision", "score", "margin", "entropy")
    show("Tasks of Hugging Face", head, rows)


def _of_task(pipeline: Any, inputs: object, settings: dict[str, Any]) -> Row:
    with capture_spans() as spans:
        pipeline(inputs, **settings)
        told = dict(spans.finished[0].attributes or {})
    numbers = (semconv.SCORE, semconv.MARGIN, semconv.ENTROPY)
    return (
        pipeline.task,
        told.get(semconv.BATCH_SIZE, 1),
        told.get(semconv.GEN_AI_USAGE_INPUT_TOKENS, ""),
        _counted(pipeline, inputs, settings),
        told.get(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, ""),
        told.get(semconv.DECISION, ""),
        *(f"{told[name]:.3f}" if name in told else "" for name in numbers),
    )


def _counted(pipeline: Any, inputs: Any, settings: dict[str, Any]) -> object:
    """Return how many tokens the tokenizer makes of texts, each alone, or with each label it is compared with."""
    if pipeline.tokenizer is None:
        return ""
    texts: list[Any] = [inputs] if isinstance(inputs, str) else inputs
    pairs = [settings["hypothesis_template"].format(label) for label in settings.get("candidate_labels", ())] or [None]
    return sum(len(pipeline.tokenizer(text, pair)["input_ids"]) for text in texts for pair in pairs)


# --- what is patched -------------------------------------------------------------------------------------------------


def patches() -> None:
    """Show each object that instrumentors put something in place of, and whether it is there again afterwards."""
    rows: list[Row] = []
    for integration in INTEGRATIONS:
        if find_spec(integration.framework) is None:
            continue
        case = CASES[integration.name](integration)
        before = case.patched()
        integration.instrument()
        during = case.patched()
        integration.uninstrument()
        after = case.patched()
        rows += [
            (integration.name, f"`{name}`", _said(during[name] is not one), _said(after[name] is one))
            for name, one in before.items()
        ]
    show("Patches", ("integration", "object", "replaced", "the same object afterwards"), rows)


def _said(is_so: bool) -> str:
    return "yes" if is_so else "NO"


SHOWN: Final[dict[str, Table]] = {"streams": streams, "tasks": tasks, "patches": patches}


def main() -> None:
    """Print the tables that are asked for."""
    with capture_spans():  # so that nothing is sent
        spanward.configure(hashing_key="k" * 32, metrics="off")
    for name in sys.argv[1:] or SHOWN:
        SHOWN[name]()


if __name__ == "__main__":
    main()
