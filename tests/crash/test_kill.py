"""A processor that is killed at random moments, under load, with a backend of changing mood, loses nothing it said OK to."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from crashing import MOODS, MoodyBackend, Senders, address_of, processor, start
from spans import eventually

SHORT = 3


def kill_rounds(folder: Path, rounds: int, seed: int) -> tuple[int, int, int]:
    """Kill a processor so many times, then let the last one deliver; return how many spans were acknowledged, lost, duplicated."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    backend = MoodyBackend(random.Random(seed + 1))
    acknowledged: list[bytes] = []
    requests = 0
    try:
        for each in range(rounds):
            mood = rng.choice(MOODS) if each else "flapping"
            backend.turn(mood)
            process = start(folder, backend.port)
            if rng.random() < 0.1:  # while it opens the journal, or a little before
                time.sleep(rng.uniform(0.0, 4.0))
                process.kill()
                process.communicate()
                print(f"round {each:3} {mood:9} killed while starting")
                continue
            senders = Senders(address_of(process, folder), requests)
            with senders.sending():
                time.sleep(rng.uniform(0.0, 1.5))
                backend.turn(mood := rng.choice(MOODS))
                time.sleep(rng.uniform(0.0, 1.0))
                process.send_signal(signal.SIGKILL)
                process.communicate()
            requests += senders.sent
            acknowledged += senders.acknowledged
            print(f"round {each:3} {mood:9} acknowledged {len(senders.acknowledged)}")
        backend.turn("well")
        with processor(folder, backend.port) as (last, _):
            eventually(lambda: all(each in backend.arrived for each in acknowledged), within_s=120)
            last.terminate()
            assert last.wait(60) == 0
    finally:
        backend.close()
    lost = sum(each not in backend.arrived for each in acknowledged)
    duplicated = sum(count - 1 for count in backend.arrived.values())
    print(f"rounds {rounds}, spans acknowledged {len(acknowledged)}, lost {lost}, duplicated {duplicated}")
    return len(acknowledged), lost, duplicated


def test_nothing_acknowledged_is_lost_in_three_kills(tmp_path: Path) -> None:
    """The short form, part of every run: SIGKILL under load, restart on the same journal, everything arrives."""
    acknowledged, lost, _ = kill_rounds(tmp_path, SHORT, random.randrange(1 << 32))

    assert acknowledged > 0
    assert lost == 0


@pytest.mark.skipif("SPANWARD_CRASH_ROUNDS" not in os.environ, reason="SPANWARD_CRASH_ROUNDS=50 runs that many rounds")
@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_many_kills(tmp_path: Path) -> None:
    """The full form: `SPANWARD_CRASH_ROUNDS=50 pytest -s -m slow tests/crash`; SPANWARD_CRASH_SEED repeats a run."""
    rounds = int(os.environ["SPANWARD_CRASH_ROUNDS"])
    seed = int(os.environ.get("SPANWARD_CRASH_SEED", random.randrange(1 << 32)))
    acknowledged, lost, _ = kill_rounds(tmp_path, rounds, seed)

    assert acknowledged > 0
    assert lost == 0
