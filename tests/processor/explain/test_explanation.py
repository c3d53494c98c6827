"""The rise of latency, split into its causes, beside worlds in which the cause of every second is known."""

from dataclasses import replace

import numpy as np
import pytest

from causes import USUAL, World
from spanward_processor.explain.explanation import FEWEST_FOR_TAIL, FEWEST_ROWS, Answer, Explanation, explain
from spanward_processor.explain.machine import NOTHING_KNOWN, Gauge, Machine, Resource
from spanward_processor.explain.measured import Measured
from spanward_processor.explain.parts import PARTS, Layer, Part
from spanward_processor.explain.words import sentence

SEED = 20_261_126
ROWS = 2_000
BUSY = Machine((Gauge("system.cpu.utilization", Resource.CPU, 0.4, 0.97),))
FULL = Machine((Gauge("system.memory.utilization", Resource.MEMORY, 0.6, 0.98),))


def told(
    now: World | Measured, *, before: World | Measured = USUAL, machine: Machine = NOTHING_KNOWN, rounds: int = 12
) -> Explanation:
    """Return what is told of two worlds."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    was, is_now = (one.calls(ROWS, rng) if isinstance(one, World) else one for one in (before, now))
    return explain(was, is_now, rng, machine, rounds)


def mean_s(explanation: Explanation, part: Part) -> float:
    """Return the seconds that a part adds to the mean."""
    assert explanation.mean
    return explanation.mean.parts_s[part].value


CAUSES = {
    Part.DATA: (USUAL.but(tokens=900), NOTHING_KNOWN),
    Part.GC: (USUAL.but(gc_ratio=0.2, gc_s=0.1), NOTHING_KNOWN),
    Part.WAIT: (USUAL.but(worker_s=0.02), NOTHING_KNOWN),
    Part.LOAD: (USUAL.but(load_ratio=0.02), NOTHING_KNOWN),
    Part.QUEUE: (USUAL.but(lock_ratio=0.3, lock_s=0.1), NOTHING_KNOWN),
    Part.MACHINE: (USUAL.but(stretch=0.8), BUSY),
    Part.VERSION: (USUAL.but(group=1, base_s=0.06), NOTHING_KNOWN),
    Part.UNEXPLAINED: (USUAL.but(per_token_s=2e-4), NOTHING_KNOWN),
}
"""A world for each part, in which it alone has moved."""


@pytest.mark.parametrize("part", PARTS)
def test_one_cause_is_the_only_one_named(part: Part) -> None:
    """Where one thing moved it makes nearly all of the rise of mean and p99, and nothing else is named."""
    world, machine = CAUSES[part]

    found = told(world, machine=machine)

    assert found.answer is Answer.ROSE
    assert found.causes == (part,)
    assert found.mean
    assert found.tail
    assert found.mean.share(part).value == pytest.approx(1.0, abs=0.1)
    if found.tail.answer is Answer.ROSE:
        assert found.tail.share(part).value == pytest.approx(1.0, abs=0.25)


def test_seconds_of_the_mean_are_those_of_the_truth() -> None:
    """Of three causes at once each gets the seconds that it adds, within five in a hundred."""
    found = told(USUAL.but(tokens=800, gc_ratio=0.2, gc_s=0.1, lock_ratio=0.3, lock_s=0.1))

    assert mean_s(found, Part.DATA) == pytest.approx(400 * np.exp(0.125) * 1e-4, rel=0.05)
    assert mean_s(found, Part.GC) == pytest.approx(0.2 * 0.1 - 0.02 * 0.01, rel=0.08)
    assert mean_s(found, Part.QUEUE) == pytest.approx(0.3 * 0.1 - 0.05 * 0.005, rel=0.08)
    assert set(found.causes) == {Part.DATA, Part.GC, Part.QUEUE}


def test_parts_sum_to_the_rise() -> None:
    """The parts of mean and p99 make the whole rise, to the last digit."""
    rng = np.random.default_rng(SEED)
    before, now = USUAL.calls(ROWS, rng), USUAL.but(tokens=900, gc_ratio=0.2, gc_s=0.1).calls(ROWS, rng)

    found = told(now, before=before)

    assert found.mean
    assert found.tail
    assert sum(one.value for one in found.mean.parts_s.values()) == pytest.approx(
        now.latency_s.mean() - before.latency_s.mean(), abs=1e-12
    )
    assert sum(one.value for one in found.tail.parts_s.values()) == pytest.approx(
        np.sort(now.latency_s)[ROWS * 99 // 100 - 1] - np.sort(before.latency_s)[ROWS * 99 // 100 - 1], abs=1e-12
    )


def test_shares_of_p99_are_those_of_worlds_with_one_cause() -> None:
    """The p99 is split as by running each world apart: the mean, over both orders, of what each cause adds."""
    rng = np.random.default_rng(SEED)

    def p99(world: World) -> float:
        return float(np.quantile(world.calls(200_000, rng).latency_s, 0.99))

    gc = {"gc_ratio": 0.2, "gc_s": 0.1}
    none, data, pauses, both = (
        p99(USUAL.but(**changes)) for changes in ({}, {"tokens": 900}, gc, gc | {"tokens": 900})
    )
    found = told(USUAL.but(tokens=900, gc_ratio=0.2, gc_s=0.1))

    assert found.tail
    assert found.tail.parts_s[Part.DATA].value == pytest.approx((data - none + both - pauses) / 2, rel=0.15)
    assert found.tail.parts_s[Part.GC].value == pytest.approx((pauses - none + both - data) / 2, rel=0.15)


def test_intervals_hold_the_truth() -> None:
    """In at least 12 of 15 worlds the interval of 95 % holds the seconds that garbage collection adds."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    truth, held = 0.1 * 0.1 - 0.02 * 0.01, 0
    for _ in range(15):
        now = USUAL.but(gc_ratio=0.1, gc_s=0.1).calls(250, rng)
        found = explain(USUAL.calls(250, rng), now, rng, rounds=30)
        assert found.mean
        part = found.mean.parts_s[Part.GC]
        held += part.low <= truth <= part.high

    assert held >= 12


def test_longer_calls_that_scatter_more_are_the_datas_doing() -> None:
    """Where noise is in proportion to the length of a call, longer inputs explain the wider tail too."""
    loud = USUAL.but(noise=0.4)

    found = told(loud.but(tokens=1_200), before=loud)

    assert found.tail
    assert found.tail.share(Part.DATA).value > 0.85


def test_drivers_that_go_together_are_told_together() -> None:
    """Two measures of one thing change nothing about the data's share, and their seconds are told once."""
    rng = np.random.default_rng(SEED)

    def doubled(world: World) -> Measured:
        rows = world.calls(ROWS, rng)
        data = rows.data.copy()
        data[2] = 4 * data[0] + rng.normal(0, 20, ROWS)
        return replace(rows, data=data)

    found = told(doubled(USUAL.but(tokens=900)), before=doubled(USUAL))

    assert found.mean
    assert found.mean.share(Part.DATA).value == pytest.approx(1.0, abs=0.05)
    assert (found.drivers[0].name, found.drivers[0].alike) == ("input_tokens", ("input_size",))
    assert found.drivers[0].seconds == pytest.approx(mean_s(found, Part.DATA), rel=0.01)


@pytest.mark.parametrize(("rows", "answer"), [(0, Answer.TOO_FEW), (FEWEST_ROWS - 1, Answer.TOO_FEW)])
def test_too_few_rows_are_said_to_be_that(rows: int, answer: Answer) -> None:
    """Below thirty rows nothing is told."""
    found = told(USUAL.calls(rows, np.random.default_rng(SEED)))

    assert (found.answer, found.mean, found.causes) == (answer, None, ())


def test_the_tail_takes_more_rows_than_the_mean() -> None:
    """With fewer than three rows beyond the 99th percentile the mean alone is told."""
    found = told(USUAL.but(tokens=900).calls(FEWEST_FOR_TAIL - 1, np.random.default_rng(SEED)))

    assert found.tail is None
    assert found.causes == (Part.DATA,)


def test_data_that_nobody_told_is_unexplained_and_said_to_be_missing() -> None:
    """Without token counts longer inputs cannot be told from slower code, and the answer says so."""
    rng = np.random.default_rng(SEED)
    before, now = (
        replace(rows, data=np.full_like(rows.data, np.nan))
        for rows in (USUAL.calls(ROWS, rng), USUAL.but(tokens=900).calls(ROWS, rng))
    )

    found = told(now, before=before)

    assert found.causes == (Part.UNEXPLAINED,)
    assert "data" in found.missing


def test_computing_and_waiting_are_not_told_apart_without_cpu_time() -> None:
    """Without CPU time a lock is unexplained, and the answer says what is missing."""
    rng = np.random.default_rng(SEED)

    def untold(rows: Measured) -> Measured:
        runtime = rows.runtime.copy()
        runtime[3] = np.nan
        return replace(rows, runtime=runtime)

    found = told(untold(USUAL.but(lock_ratio=0.3, lock_s=0.1).calls(ROWS, rng)), before=untold(USUAL.calls(ROWS, rng)))

    assert found.causes == (Part.UNEXPLAINED,)
    assert "cpu_s" in found.missing


def test_what_fell_has_a_negative_share() -> None:
    """Less garbage collection beside longer inputs lets data explain more than the whole rise; the sum stays whole."""
    found = told(USUAL.but(tokens=900), before=USUAL.but(gc_ratio=0.2, gc_s=0.1))

    assert found.mean
    assert found.causes == (Part.DATA,)
    assert found.mean.share(Part.GC).high < 0
    assert found.mean.share(Part.DATA).value > 1
    assert sum(found.mean.share(part).value for part in PARTS) == pytest.approx(1.0)


def test_nothing_is_blamed_where_nothing_rose() -> None:
    """The same world twice: no rise beyond chance, no cause."""
    found = told(USUAL)

    assert (found.answer, found.causes) == (Answer.NO_RISE, ())


def test_latency_that_fell_has_no_causes() -> None:
    """Shorter inputs: latency fell, and the seconds still say by what."""
    found = told(USUAL.but(tokens=200))

    assert (found.answer, found.causes) == (Answer.FELL, ())
    assert mean_s(found, Part.DATA) < -0.01


def test_data_without_a_price_is_named_and_unexplained() -> None:
    """A batch size that was one and is eight, always: nobody can tell what that costs."""
    found = told(USUAL.but(batch=8, per_item_s=0.01))

    assert found.unpriced == ("batch_size",)
    assert found.causes == (Part.UNEXPLAINED,)


def test_data_that_varies_only_now_has_the_price_of_now() -> None:
    """A batch size that was always one, and is one or eight now, is priced by what calls show now."""
    rng = np.random.default_rng(SEED)
    now = Measured.together([USUAL.calls(ROWS // 2, rng), USUAL.but(batch=8, per_item_s=0.01).calls(ROWS // 2, rng)])

    found = told(now)

    assert found.causes == (Part.DATA,)
    assert found.drivers[0].name == "batch_size"
    assert found.drivers[0].seconds == pytest.approx(0.035, rel=0.1)


def texts(longer: float, waits_s: float, count: int, rng: np.random.Generator) -> Measured:
    """Return calls whose texts hardly differ in size, and which wait for each other by chance."""
    size = rng.lognormal(np.log(95), 0.2, count) * longer
    cpu_s = 2e-5 * size * rng.lognormal(0, 0.1, count)
    waited_s = np.where(rng.random(count) < 0.5, rng.exponential(waits_s, count), 0.0)
    return Measured.of(
        cpu_s + waited_s,
        data={"input_size": size},
        runtime={"cpu_s": cpu_s},
        groups=np.zeros(count, np.int64),
        blocks=np.arange(count) // 40,
    )


@pytest.mark.parametrize("seed", range(4))
def test_data_far_beyond_what_was_seen_has_the_price_of_now(seed: int) -> None:
    """A slope that chance gave sizes which were all alike is not carried on to texts six times as long."""
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    found = explain(texts(1.0, 0.002, 800, rng), texts(6.5, 0.003, 160, rng), rng, rounds=30)

    assert found.causes[0] is Part.DATA
    assert found.mean
    assert all(abs(found.mean.share(part).value) < 1.5 for part in PARTS)


def test_more_traffic_of_a_slow_version_is_the_mix() -> None:
    """Two versions as fast as ever, of which the slow one gets more calls."""
    rng = np.random.default_rng(SEED)

    def mixed(slow: int) -> Measured:
        return Measured.together([USUAL.calls(ROWS - slow, rng), USUAL.but(group=1, base_s=0.1).calls(slow, rng)])

    found = told(mixed(1_000), before=mixed(200))

    assert found.causes == (Part.VERSION,)
    assert mean_s(found, Part.VERSION) == pytest.approx(0.4 * 0.09, rel=0.05)


def test_routes_that_were_rare_are_not_blamed_for_a_rise_of_all() -> None:
    """With three calls of each route before, slower code is no matter of routes."""
    rng = np.random.default_rng(SEED)
    routes = np.arange(ROWS) % 600
    before, now = USUAL.calls(ROWS, rng), USUAL.but(per_token_s=2e-4).calls(ROWS, rng)

    found = told(replace(now, groups=routes), before=replace(before, groups=routes))

    assert found.causes == (Part.UNEXPLAINED,)


def test_a_lock_on_a_busy_machine_is_told_from_the_machine() -> None:
    """Waits that go with computing are the machine's, others the application's."""
    found = told(USUAL.but(stretch=0.8, lock_ratio=0.3, lock_s=0.1), machine=BUSY)

    assert set(found.causes) == {Part.QUEUE, Part.MACHINE}
    assert mean_s(found, Part.MACHINE) == pytest.approx(0.8 * (0.01 + 400 * np.exp(0.125) * 1e-4), rel=0.25)


def test_slower_computing_on_a_busy_machine_is_the_machines() -> None:
    """CPU time of a token that rose with the machine's load belongs to it."""
    assert told(USUAL.but(per_token_s=2e-4), machine=BUSY).causes == (Part.MACHINE,)


def test_a_machine_short_of_memory_explains_any_wait() -> None:
    """Pages that are read anew make calls wait, however much they compute."""
    assert told(USUAL.but(lock_ratio=0.3, lock_s=0.1), machine=FULL).causes == (Part.MACHINE,)


def test_a_machine_that_is_as_busy_as_before_explains_nothing() -> None:
    """Load alone is no cause; its rise is."""
    steady = Machine((Gauge("system.cpu.utilization", Resource.CPU, 0.95, 0.97),))

    assert told(USUAL.but(stretch=0.8), machine=steady).causes == (Part.QUEUE,)


def test_a_row_that_stands_for_several_counts_as_these() -> None:
    """Weights do what repeating rows would."""
    rng = np.random.default_rng(SEED)
    before, now = USUAL.calls(400, rng), USUAL.but(tokens=900).calls(400, rng)
    times = rng.integers(1, 4, 400)
    repeated = now.where(np.repeat(np.arange(400), times))

    found, expected = told(replace(now, weights=times.astype(float)), before=before), told(repeated, before=before)

    assert found.mean
    assert expected.mean
    assert found.mean.now_s == pytest.approx(expected.mean.now_s)
    assert mean_s(found, Part.DATA) == pytest.approx(mean_s(expected, Part.DATA))
    assert found.tail
    assert expected.tail
    assert found.tail.now_s == pytest.approx(expected.tail.now_s)


def test_impossible_numbers_do_no_harm() -> None:
    """Infinite sizes, negative pauses and pauses longer than their span leave finite answers."""
    rng = np.random.default_rng(SEED)
    now = USUAL.but(tokens=900).calls(ROWS, rng)
    data, runtime, span_s = now.data.copy(), now.runtime.copy(), now.span_s.copy()
    data[0, :50], runtime[0, :50], runtime[0, 50:100], span_s[100:150] = np.inf, -1.0, 1e6, -1.0

    found = told(replace(now, data=data, runtime=runtime, span_s=span_s))

    assert found.rows == (ROWS, ROWS - 50)
    assert found.mean
    assert np.isfinite([one.value for one in found.mean.parts_s.values()]).all()
    assert found.mean.layer_s(Layer.DATA) > 0.03


def test_the_same_seed_gives_the_same_answer() -> None:
    """Randomness is passed in, and there is no other."""
    assert told(USUAL.but(tokens=900)) == told(USUAL.but(tokens=900))


def test_causes_that_make_more_than_the_rise_are_told_with_what_fell() -> None:
    """A person who adds the shares up is told at once why they are more than all."""
    before = USUAL.but(lock_ratio=0.5, lock_s=0.03)

    said = sentence(told(USUAL.but(tokens=900, lock_ratio=0.0), before=before))

    assert said.count("Together that is more than 100 %, because waiting off the CPU fell by ") == 1
    assert "Together" not in sentence(told(USUAL.but(tokens=900)))


def test_a_rise_that_lies_before_the_spans_says_so() -> None:
    """Their own durations, which a finding tells beside it, may have fallen meanwhile."""
    assert sentence(told(USUAL.but(worker_s=0.05))).startswith("With the wait for a worker latency rose (mean ")
    assert sentence(told(USUAL.but(tokens=900))).startswith("Latency rose (mean ")
