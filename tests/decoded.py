"""Decoded columns beside what the official parser says."""

import numpy as np

import naive
from spanward_processor.columns import SpanBatch
from spanward_processor.roles import RoleTable
from spanward_processor.texts import text_at


def assert_equals_twin(batch: SpanBatch, expected: list[naive.Row], roles: RoleTable) -> None:
    """Compare every column with the twin's rows."""
    assert len(expected) == len(batch)
    codes, numbers = batch.codes.tolist(), batch.numbers
    for row, twin in enumerate(expected):
        assert twin.start_ns == batch.facts.start_ns[row]
        assert twin.end_ns == batch.facts.end_ns[row]
        assert twin.status == batch.facts.status[row]
        assert twin.reserved == batch.facts.reserved[row]
        at = int(batch.facts.trace_at[row])
        assert twin.trace_id == (batch.data[at : at + 16].tobytes() if at >= 0 else b"")
        for role in roles.texts:
            column = roles.text(role)
            text = text_at(batch, column, row) if codes[column][row] else None
            expected_text = twin.texts.get(role)
            assert (expected_text[:256] if expected_text else None) == text, role
        for role, number in zip(roles.numbers, numbers[:, row].tolist(), strict=True):
            assert twin.numbers.get(role) == (None if np.isnan(number) else number), role
