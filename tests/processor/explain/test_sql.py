"""The SQL that stands below an answer: run in a real DuckDB over the same spans, it tells the same."""

from collections.abc import Iterable
from typing import Any, Final

import duckdb
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from causes import USUAL, World
from slowing import SECOND_NS, spans_of_world
from spans import request
from spanward import semconv
from spanward_processor.configuration.settings import Detection, Learning, Limits
from spanward_processor.pipeline import Pipeline

SEED: Final = 20_261_126
START_NS: Final = 1_700_000_000 * SECOND_NS
PER_S, BEFORE_S, NOW_S = 20, 60, 40
SLOWED: Final = USUAL.but(tokens=800, gc_ratio=0.2, gc_s=0.1, worker_s=0.01)


def table_of(spans: Iterable[Span]) -> duckdb.DuckDBPyConnection:
    """Return a database with a table of the spans, a column for each attribute that any of them tells."""
    rows = [(one, {pair.key: pair.value for pair in one.attributes}) for one in spans]
    names = sorted({name for _, told in rows for name in told})
    database = duckdb.connect()
    kinds = {name: next(told[name] for _, told in rows if name in told).WhichOneof("value") for name in names}
    columns = ", ".join(f'"{name}" {"VARCHAR" if kinds[name] == "string_value" else "DOUBLE"}' for name in names)
    times = "start_time_unix_nano UBIGINT, end_time_unix_nano UBIGINT"
    database.execute(f'CREATE TABLE spans ({times}, "{semconv.SERVICE_NAME}" VARCHAR, {columns})')
    values: list[list[Any]] = []
    for one, told in rows:
        picked = [getattr(told[name], told[name].WhichOneof("value") or "") if name in told else None for name in names]
        values.append([one.start_time_unix_nano, one.end_time_unix_nano, "test", *picked])
    unnested = ", ".join(["unnest(?)"] * (3 + len(names)))
    database.execute(f"INSERT INTO spans SELECT {unnested}", [list(column) for column in zip(*values, strict=True)])
    return database


@pytest.fixture(scope="module")
def asked() -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """What the processor answers, and the rows of its SQL by the time they are of."""
    print(f"seed {SEED}")
    rng, spans = np.random.default_rng(SEED), list[Span]()
    now_ns = START_NS

    def clock() -> int:
        return now_ns

    detection = Detection(window_s=1.0, lateness_s=0.0, learning=Learning(windows=20, rows=300))
    pipeline = Pipeline(detection, Limits(), clock_ns=clock, monotonic_ns=clock)
    worlds: list[World] = [USUAL] * BEFORE_S + [SLOWED] * NOW_S
    for world in worlds:
        fresh = list(spans_of_world(world, PER_S, 1, now_ns, rng))
        spans += fresh
        now_ns += SECOND_NS
        pipeline.acknowledge(pipeline.process(request(fresh).SerializeToString()))
        pipeline.tick()
    told = pipeline.why.of_model("test", "m", float(NOW_S))
    with table_of(spans) as database:
        found = database.execute(told["sql"])
        names = [column[0] for column in found.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return told, {row["time"]: row for row in rows}


def test_both_times_are_those_of_the_answer(asked: tuple[dict[str, Any], dict[str, dict[str, float]]]) -> None:
    """Means are of the same calls, within what the sample of rows makes."""
    told, rows = asked
    print(told["rows"], told["report"])

    for time in ("before", "now"):
        assert rows[time]["mean_s"] == pytest.approx(told["mean"][f"{time}_s"], rel=0.03)


def test_shares_are_those_of_the_answer(asked: tuple[dict[str, Any], dict[str, dict[str, float]]]) -> None:
    """What each measured part and the data add to the mean, as a share of its rise, is told alike by both."""
    told, rows = asked
    rise_s = rows["now"]["mean_s"] - rows["before"]["mean_s"]
    shares = {
        "garbage collection": (rows["now"]["gc_pause_s"] - rows["before"]["gc_pause_s"]) / rise_s,
        "wait for a worker": (rows["now"]["wait_s"] - rows["before"]["wait_s"]) / rise_s,
        "waiting": (rows["now"]["waiting_s"] - rows["before"]["waiting_s"]) / rise_s,
        "data": rows["now"]["input_tokens_adds_s"] / rise_s,
    }

    assert told["answer"] == "rose"
    for part, share in shares.items():
        assert share == pytest.approx(
            told["mean"]["parts_s"][part]["value"] / told["mean"]["rise_s"]["value"], abs=0.04
        )


def test_attributes_that_nobody_tells_need_no_column(asked: tuple[dict[str, Any], dict[str, dict[str, float]]]) -> None:
    """A table without sparsity, sizes and model loads is enough; they are empty."""
    _, rows = asked

    assert rows["now"]["sparsity"] is None
    assert rows["now"]["model_load_s"] == 0
