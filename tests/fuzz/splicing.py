"""The splicer: every byte as a rebuilt request has it, and the same message but for what was asked."""

from random import Random
from typing import Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import naive
import naive_wire
from fuzz.decoding import ROLES, read_wire
from fuzz.messages import fresh_request, mutated_request, smaller_requests
from fuzz.target import Target, choices_of
from spanward_processor.annotate import Templates, annotate
from spanward_processor.decode import UndecodableError, decode

_LONG: Final = "f" * 300  # makes lengths a byte longer
TEMPLATES: Final = Templates.of({(1, 1): ("baseline", "ab" * 16), (2, 2): (_LONG, _LONG)}, ["baseline"])


def check(data: bytes) -> bool:
    """Annotate some spans, chosen by the input, and leave out the inbound attributes of ours."""
    try:
        batch = decode(data, ROLES)
    except UndecodableError:
        return False
    chosen, p = _choose(len(batch), choices_of(data))
    out = annotate(batch, TEMPLATES, chosen, p)
    notes = {row: _note(int(template), float(p[row])) for row, template in enumerate(chosen) if template >= 0}
    assert out == naive_wire.spliced(data, notes)
    assert ExportTraceServiceRequest.FromString(bytes(out)).SerializeToString() == naive.annotated(data, notes)
    return True


def _choose(spans: int, rng: Random) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.array([rng.choice((-1, -1, *range(TEMPLATES.score_at.size))) for _ in range(spans)], np.int64)
    return chosen, np.array([rng.choice((1.0, 0.001, 5e-324, 0.0, rng.random())) for _ in range(spans)])


def _note(template: int, p: float) -> bytes:
    """Return what must be written for a row: its template with the score in place."""
    note = TEMPLATES.notes[TEMPLATES.starts[template] : TEMPLATES.starts[template + 1]].tobytes()
    at = int(TEMPLATES.score_at[template])
    score = -np.log10(np.maximum(np.float64(p), np.finfo(np.float64).tiny)) + 0.0
    return note[:at] + bytes(score.tobytes()) + note[at + 8 :]


SPLICING: Final = Target("splicing", fresh_request, mutated_request, check, smaller_requests, read_wire)
