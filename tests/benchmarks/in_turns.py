"""Several things measured in turns, so that a slow moment of the machine hits all of them alike."""

import random
import time
from collections.abc import Callable, Mapping


def measure(
    cases: Mapping[str, Callable[[], object]],
    rounds: int,
    calls: int,
    seed: int,
    prepare: Callable[[str], object] = lambda _name: None,
    clock: Callable[[], int] = time.thread_time_ns,
) -> dict[str, list[float]]:
    """Return microseconds of CPU per call, one number a round, for each case.

    Args:
        cases: What does each of them once.
        rounds: How often each case has its turn; their order is shuffled anew each round.
        calls: Calls in one turn, after one that is not counted.
        seed: Seed of the order.
        prepare: Called with a case's name before its turn.
        clock: CPU time in nanoseconds: of the calling thread, or of the process where other threads do a part.
    """
    order, times = list(cases), {name: list[float]() for name in cases}
    rng = random.Random(seed)
    for _ in range(rounds):
        rng.shuffle(order)
        for name in order:
            call = cases[name]
            prepare(name)
            call()
            start = clock()
            for _ in range(calls):
                call()
            times[name].append((clock() - start) / calls / 1000)
    return times
