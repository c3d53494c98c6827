"""Why a real service became slow: what its spans tell, and the answer to a cause that is far larger than any disturbance."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from spanward_processor.evaluate.evaluations.causes import SINGLE, Judged, run
from spanward_processor.evaluate.slowed.service import Conditions, Seen, running
from spanward_processor.explain.measured import GC, LOAD, WAIT
from spanward_processor.explain.parts import Part

SEED = 1
NEEDS_STAT = pytest.mark.skipif(
    not Path("/proc/stat").is_file(), reason="the load of the processors is read from /proc/stat"
)


@NEEDS_STAT
@pytest.mark.slow
def test_a_lock_that_others_hold_is_told_as_waiting() -> None:
    """The service runs in a process of its own; calls wait some 30 ms, and the strongest cause told is that."""
    lock = next(cause for cause in SINGLE if Part.QUEUE in cause.parts)

    judged: list[Judged] = asyncio.run(run(SEED, 3.0, (lock,)))

    assert judged[0].right, judged[0].told


@NEEDS_STAT
@pytest.mark.slow
def test_spans_tell_what_was_done_to_the_service() -> None:
    """Collections, reloads and few workers are each seen in the attribute that is theirs, and not before."""

    async def watch() -> list[Seen]:
        rng = np.random.default_rng(SEED)
        asked = (Conditions(), *(Conditions(frozenset({one})) for one in ("garbage", "reload", "workers")))
        async with running() as service:
            return [await service.observe(one, 2.0, rng) for one in asked]

    usual, *slowed = asyncio.run(watch())

    for seen, place in zip(slowed, (GC, LOAD, WAIT), strict=True):
        assert np.nanmean(np.nan_to_num(seen.calls.runtime[place])) > 2 * np.mean(
            np.nan_to_num(usual.calls.runtime[place])
        )
        assert np.nanmax(seen.calls.runtime[place]) > 0.01
