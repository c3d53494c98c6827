"""CPU seconds per million spans of the whole processor, alone: receive, judge, annotate, forward.

Run as `python tests/benchmarks/whole.py [ROUNDS]`. Beside a Collector: `spanward bench`.
"""

import sys

import numpy as np
from rich.console import Console

from spanward_processor.bench.report import WIDTH, table
from spanward_processor.bench.rows import ROWS
from spanward_processor.bench.run import run
from spanward_processor.bench.sides import OURS

TO_REACH = 7.0


def main(rounds: int) -> None:
    """Measure and print."""
    row = next(row for row in ROWS if row.name == "batch")
    outcome = run(row, None, rounds, lambda line: print(line, file=sys.stderr))
    Console(width=WIDTH).print(table(outcome))
    median = np.median([one.cpu_s_per_mspan for one in outcome.rounds[OURS]])
    print(f"to reach {TO_REACH} CPU-s per million spans: {'reached' if median <= TO_REACH else 'not reached'}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
