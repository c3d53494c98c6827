"""Why a real service became slow: the answer beside what was really done to it.

A FastAPI service in a process of its own, with the SDK and the middleware, sends spans over OTLP. Each cause is a real one: garbage,
a lock, few workers, processes that take the processors, longer inputs, reloads, a slower version, slower code, another service.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from spanward_processor.evaluate.base import Effort, Evaluation, Line, at_least, percent, stated
from spanward_processor.evaluate.intervals import share
from spanward_processor.evaluate.slowed.service import Conditions, Seen, running
from spanward_processor.explain.explanation import Explanation, explain
from spanward_processor.explain.machine import Gauge, Machine, Resource
from spanward_processor.explain.parts import Part

TOP: Final = 0.9
BOTH: Final = 0.8

_SECONDS: Final = 6.0
_SHORT_SECONDS: Final = 2.0
_ROUNDS: Final = 100
_FULL: Final = 0.9  # of the processors in use: what is full cannot become a tenth fuller


@dataclass(frozen=True, slots=True)
class Cause:
    """What is done to the service, and what the answer must be.

    Args:
        name: What a person calls it.
        conditions: What is done.
        parts: The right answer; of two causes both.
    """

    name: str
    conditions: Conditions
    parts: frozenset[Part]


def _reasons(*names: str) -> frozenset[str]:
    return frozenset(names)


SINGLE: Final = (
    Cause("collections of garbage", Conditions(_reasons("garbage")), frozenset({Part.GC})),
    Cause("a lock that others hold", Conditions(_reasons("lock")), frozenset({Part.QUEUE})),
    Cause("few workers", Conditions(_reasons("workers")), frozenset({Part.WAIT})),
    Cause("processors taken by others", Conditions(busy=True, model="heavy"), frozenset({Part.MACHINE})),
    Cause("longer inputs", Conditions(longer=True), frozenset({Part.DATA})),
    Cause("reloads of the model", Conditions(_reasons("reload")), frozenset({Part.LOAD})),
    Cause("a slower version", Conditions(_reasons("version")), frozenset({Part.VERSION})),
)
"""One cause at a time."""

DOUBLE: Final = (
    Cause("longer inputs and a lock", Conditions(_reasons("lock"), longer=True), frozenset({Part.DATA, Part.QUEUE})),
    Cause("longer inputs and garbage", Conditions(_reasons("garbage"), longer=True), frozenset({Part.DATA, Part.GC})),
    Cause(
        "few workers and a slower version",
        Conditions(_reasons("workers", "version")),
        frozenset({Part.WAIT, Part.VERSION}),
    ),
    Cause("reloads and a lock", Conditions(_reasons("reload", "lock")), frozenset({Part.LOAD, Part.QUEUE})),
)
"""Two at a time."""

OUTSIDE: Final = (
    Cause(
        "slower code that calls itself the same version", Conditions(_reasons("code")), frozenset({Part.UNEXPLAINED})
    ),
    Cause("another service, awaited", Conditions(late=True, model="awaiter"), frozenset({Part.UNEXPLAINED})),
    Cause("another service, asked in a thread", Conditions(late=True, model="caller"), frozenset({Part.UNEXPLAINED})),
)
"""Of which nothing that is measured tells."""

CAUSES: Final = (*SINGLE, *DOUBLE, *OUTSIDE)


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer.

    Args:
        cause: What was done.
        told: The answer.
        load: Load average of the machine then.
        full: Whether the processors were taken before, so that taking them changes nothing that can be told.
    """

    cause: Cause
    told: Explanation
    load: float
    full: bool

    @property
    def right(self) -> bool:
        """Whether the strongest cause told is the one, or both are told."""
        named = self.told.causes
        return self.cause.parts <= set(named) and (len(self.cause.parts) > 1 or named[0] in self.cause.parts)

    @property
    def done(self) -> bool:
        """Whether the cause could be brought about at all, which is told by before alone."""
        return not (self.full and self.cause.conditions.busy)


def explained(before: Seen, now: Seen, rng: np.random.Generator) -> Explanation:
    """Return the answer to what was seen before and now."""
    gauge = Gauge("system.cpu.utilization", Resource.CPU, before.busy, now.busy)
    return explain(before.calls, now.calls, rng, Machine((gauge,)), _ROUNDS)


async def run(seed: int, seconds: float, causes: tuple[Cause, ...] = CAUSES) -> list[Judged]:
    """Start the service, watch it as it should be, then under each cause.

    Args:
        seed: Of traffic and intervals.
        seconds: How long each is watched.
        causes: What is done to it, one after the other.
    """
    rng, judged = np.random.default_rng(seed), list[Judged]()
    async with running() as service:
        usual: dict[str, Seen] = {}
        for cause in causes:
            model = cause.conditions.model
            if model not in usual:
                usual[model] = await service.observe(Conditions(model=model), seconds, rng)
            now = await service.observe(cause.conditions, seconds, rng)
            told = explained(usual[model], now, rng)
            judged.append(Judged(cause, told, os.getloadavg()[0], usual[model].busy > _FULL))
    return judged


def measure(effort: Effort) -> Iterator[Line]:
    """Do everything to the service once for each seed; see `Evaluation`."""
    seconds = _SHORT_SECONDS if effort.short else _SECONDS
    judged = [one for seed in effort.seeds for one in asyncio.run(run(seed, seconds))]
    for causes, kind, goal in ((SINGLE, "one", TOP), (DOUBLE, "two", BOTH), (OUTSIDE, "outside", TOP)):
        every = [one for one in judged if one.cause in causes and one.done]
        for cause in causes:
            runs = [one for one in every if one.cause is cause]
            found = stated(f"{kind}: {cause.name}", share(sum(one.right for one in runs), len(runs)), percent)
            yield Line(found.what, f"{found.measured}{_told(runs)}")
        yield at_least(
            f"{kind}, of {len(every)} runs", share(sum(one.right for one in every), len(every)), goal, percent
        )
    yield Line(
        "not brought about, since the processors were full before", f"{sum(not one.done for one in judged)} runs"
    )
    loads = [one.load for one in judged]
    yield Line("load average while it ran", f"{min(loads):.1f} to {max(loads):.1f}")


def _told(runs: list[Judged]) -> str:
    """Return what was told instead, where an answer was wrong."""
    wrong = [", ".join(one.told.causes) or one.told.answer.value for one in runs if not one.right]
    return f"; told: {'; '.join(wrong)}" if wrong else ""


EVALUATION: Final = Evaluation(
    name="causes",
    shows="Why a real FastAPI service became slow: the strongest cause told, beside what was done to it.",
    measure=measure,
    first_seed=100,
)
