"""A fuzzing campaign: `python -m fuzz [TARGET ...] --executions 1000000 --seed 7`, with `tests` on the path.

It may be interrupted; what was done until then is counted. Every line of `totals.jsonl` is one target of one campaign.
"""

import argparse
import json
import secrets
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import NoReturn

from fuzz import loop
from fuzz.guided import guide, is_there
from fuzz.target import Target
from fuzz.targets import TARGETS
from spanward_processor.kernels import jit


def main() -> int:
    """Run the campaign; return 1 when there were faults."""
    asked = _asked()
    signal.signal(signal.SIGTERM, _interrupt)
    chosen = [target for target in TARGETS if target.name in asked.targets] if asked.targets else list(TARGETS)
    how = "guided by coverage of the twins (atheris)" if asked.guided else "changes by format, not guided by coverage"
    print(f"seed {asked.seed}, {how}", flush=True)
    faults = 0
    for target in chosen:
        tally = _run(target, asked)
        _tell(target, tally, asked)
        faults += len(tally.faults)
    return int(faults > 0)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=", ".join(target.name for target in TARGETS))
    parser.add_argument("--executions", type=int, default=100_000, help="of each target, at most")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of each target, at most")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    parser.add_argument("--folder", type=Path, default=Path("fuzzing"), help="for inputs, faults and totals.jsonl")
    parser.add_argument("--guided", action="store_true", help="let atheris choose by coverage; Linux only")
    asked = parser.parse_args()
    names = {target.name for target in TARGETS}
    if unknown := [name for name in asked.targets if name not in names]:
        parser.error(f"TARGET: must be one of {', '.join(sorted(names))}, got {unknown[0]}")
    if asked.guided and not is_there():
        parser.error("--guided: atheris is not installed; pip install 'spanward[fuzz]'")
    return asked


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _run(target: Target, asked: argparse.Namespace) -> loop.Tally:
    if asked.guided:
        return guide(target, asked.folder, asked.seed, asked.executions, asked.seconds)
    end = time.perf_counter() + asked.seconds

    def going_on(tally: loop.Tally) -> bool:
        return bool(tally.executions < asked.executions and time.perf_counter() < end)

    return loop.run(target, Random(asked.seed), going_on=going_on)


def _tell(target: Target, tally: loop.Tally, asked: argparse.Namespace) -> None:
    line = {
        "target": target.name,
        "guided": asked.guided,
        "seed": asked.seed,
        "executions": tally.executions,
        "taken": tally.taken,
        "seconds": round(tally.seconds, 1),
        "faults": len(tally.faults),
        "kernels": jit.CACHE_FOLDER.name,
    }
    print(f"{json.dumps(line)} {tally.per_s:.0f}/s", flush=True)
    asked.folder.mkdir(parents=True, exist_ok=True)
    loop.keep(asked.folder / "faults", target, tally)
    with (asked.folder / "totals.jsonl").open("a") as totals:
        totals.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
