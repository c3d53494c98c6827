"""What the processor knows of a span, written into its encoded bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanward import semconv
from spanward_processor.columns import SpanBatch
from spanward_processor.features import Rows
from spanward_processor.kernels.carriers import match_carriers
from spanward_processor.kernels.jit import Bytes, Floats, Ints
from spanward_processor.kernels.splice import Notes, plan_growth, splice
from spanward_processor.kernels.tables import CellTable, add_cell, empty_table

_PLACEHOLDER = 1.2345678901234567e-300  # a score nobody computes; marks its eight bytes in a template


@dataclass(frozen=True, slots=True)
class Templates:
    """Encoded attributes for every combination that can occur, and the cells whose rows carry a finding.

    Template 2 f is for a row that carries finding f, 2 f + 1 for one that is unusual by itself too; the last is for a
    row that is only unusual.
    """

    notes: Bytes
    starts: Ints
    score_at: Ints
    carriers: CellTable

    @classmethod
    def of(cls, carriers: Mapping[tuple[int, int], tuple[str, str]], row_detectors: Sequence[str]) -> Self:
        """Prepare the templates.

        Args:
            carriers: Cell to detector name and finding id.
            row_detectors: Names of the detectors that judge single rows.
        """
        findings = sorted(set(carriers.values()))
        places = {finding: place for place, finding in enumerate(findings)}
        encoded: list[tuple[bytes, int]] = []
        for detector, identity in findings:
            encoded.append(_template((detector,), identity))
            encoded.append(_template(tuple(dict.fromkeys((*row_detectors, detector))), identity))
        encoded.append(_template(tuple(row_detectors), ""))
        size = 1 << (4 * len(carriers) + 4).bit_length()
        table = empty_table(size)
        for (stream, cell_bin), finding in carriers.items():
            add_cell(table, stream, cell_bin, places[finding] + 1, size)
        return cls(
            notes=np.frombuffer(b"".join(text for text, _ in encoded), np.uint8),
            starts=np.cumsum([0, *(len(text) for text, _ in encoded)]),
            score_at=np.array([at for _, at in encoded], np.int64),
            carriers=table,
        )

    def choose(self, rows: Rows, unusual: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Ints:
        """Return (n,) int64 template of each row, -1 for none.

        Args:
            rows: The rows of a batch.
            unusual: (n,) bool rows that are unusual by themselves.
        """
        chosen = np.where(unusual, self.score_at.size - 1, -1)
        if self.carriers.used[0]:
            match_carriers(rows.keys, rows.bins, self.carriers, unusual, chosen)
        return chosen


def _template(detectors: tuple[str, ...], finding: str) -> tuple[bytes, int]:
    """Return encoded `Span.attributes` and where in them the score's eight bytes lie."""
    span = Span()
    span.attributes.add(key=semconv.ANOMALY_SCORE).value.double_value = _PLACEHOLDER
    names = span.attributes.add(key=semconv.ANOMALY_DETECTORS).value.array_value
    for detector in detectors:
        names.values.add(string_value=detector)
    if finding:
        span.attributes.add(key=semconv.ANOMALY_FINDING_ID).value.string_value = finding
    encoded = span.SerializeToString()
    return encoded, encoded.index(np.float64(_PLACEHOLDER).tobytes())


def annotate(batch: SpanBatch, templates: Templates, chosen: Ints, p: Floats) -> memoryview:
    """Return the request with the chosen rows annotated and inbound attributes of ours removed.

    Args:
        batch: The decoded request.
        templates: Prepared attributes.
        chosen: (n,) int64 template of each row, -1 for none.
        p: (n,) float64 p-value of each row; the score written is -log10 of it.
    """
    scores, annotated = np.zeros(len(batch)), np.flatnonzero(chosen >= 0)
    scores[annotated] = -np.log10(np.maximum(p[annotated], np.finfo(np.float64).tiny)) + 0.0
    notes = Notes(templates.notes, templates.starts, templates.score_at, chosen, scores)
    frames = batch.frames
    growth = np.zeros((sum(rows.shape[0] for rows in frames), 2), np.int64)
    grown = plan_growth(frames, batch.reserved, notes, growth)
    out = np.empty(batch.data.size + grown, np.uint8)
    splice(batch.data, frames, batch.reserved, notes, scores.view(np.uint8), growth, out)
    return out.data
