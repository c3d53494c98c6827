"""What does not come in: the spans over a limit as recursion finds them, and the rest as a rebuilt request has it."""

from typing import Final

import numpy as np

import naive_wire
from fuzz.decoding import ROLES, read_wire
from fuzz.messages import fresh_request, mutated_request, smaller_requests
from fuzz.target import Target, choices_of
from spanward_processor.decode import UndecodableError, decode
from spanward_processor.kernels.excess import WALK_DEPTH, find_excess
from spanward_processor.pruning import Refusals, pruned


def check(data: bytes) -> bool:
    """Refuse the spans over limits chosen by the input; what is left has nothing of ours on resources and scopes."""
    try:
        batch = decode(data, ROLES)
    except UndecodableError:
        return False
    rng = choices_of(data)
    most_attributes, most_bytes = rng.randrange(12), rng.randrange(60)
    excess, room = np.empty((2, len(batch)), np.int64), np.empty((2, WALK_DEPTH), np.int64)
    attributes, spans = batch.facts.attributes, batch.frames.spans
    over = find_excess(batch.data, spans, attributes, most_attributes, most_bytes, room, excess)
    assert [tuple(row) for row in excess.T.tolist()] == naive_wire.excess(data, most_attributes, most_bytes)
    dropped = {row: True for row, kind in enumerate(excess[0].tolist()) if kind}
    assert over == len(dropped)
    out = pruned(batch, Refusals(excess[0], (("any", over),)))
    assert out == naive_wire.pruned(data, dropped)
    left = decode(out, ROLES)
    assert (len(left), left.outer_reserved) == (len(batch) - over, 0)
    return True


PRUNING: Final = Target("pruning", fresh_request, mutated_request, check, smaller_requests, read_wire)
