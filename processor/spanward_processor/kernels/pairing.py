"""Which rows answer an input that the other version has answered before, from keyed hashes alone.

The memory is one direct-mapped table from an input's hash to what was decided: a newer input takes the place of an older one.
An input makes one pair, however often it comes again, since a model that is asked twice says the same twice.
"""

from typing import Final, NamedTuple

import numpy as np

from spanward_processor.kernels.jit import Codes, Ints, Narrow, borrowing, signed
from spanward_processor.kernels.siphash import mix64
from spanward_processor.kernels.tables import MISSING

_BOTH: Final = 2  # arms have answered


class Answers(NamedTuple):
    """Answers to recent inputs.

    Args:
        hashes: (power of two,) uint64 hash of the input, 0 for none.
        decisions: (same,) int64 what was decided.
        arms: (same,) int32 by which arm, 2 once both have answered.
    """

    hashes: Codes
    decisions: Ints
    arms: Narrow


@borrowing
def pair_rows(hashes: Codes, decisions: Ints, arms: Ints, answers: Answers, others: Ints) -> None:
    """Find what the other arm decided on each row's input.

    Args:
        hashes: (n,) uint64 hash of the input, 0 where absent.
        decisions: (n,) int64 code of the decision, `MISSING` where absent.
        arms: (n,) int64 0 for the stable version, 1 for the canary, -1 for rows of neither.
        answers: Answers to recent inputs, changed.
        others: (n,) int64 to fill: what the other arm decided, `MISSING` where it has not, or where the input has made its pair.
    """
    for row in range(hashes.size):
        others[row] = MISSING
        if arms[row] < 0 or decisions[row] == MISSING or hashes[row] == np.uint64(0):
            continue
        place = signed(mix64(hashes[row]) & np.uint64(answers.hashes.size - 1))
        if answers.hashes[place] != hashes[row]:
            answers.hashes[place], answers.decisions[place] = hashes[row], decisions[row]
            answers.arms[place] = arms[row]
        elif answers.arms[place] == 1 - arms[row]:
            others[row] = answers.decisions[place]
            answers.arms[place] = _BOTH
