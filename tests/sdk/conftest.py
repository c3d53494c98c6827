"""Captured spans for every test of the SDK."""

import logging
from collections.abc import Iterator

import pytest

import spanward
from captured import KEY
from spanward.testing import CapturedSpans, capture_spans
from streaming import nothing_attached


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    """Spans that end inside the test, under a known key."""
    with capture_spans() as captured:
        spanward.configure(hashing_key=KEY)
        yield captured


@pytest.fixture
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A test that leaves no error in the log, such as one of detaching a context, and nothing attached."""
    caplog.set_level(logging.ERROR)
    yield
    assert [record.getMessage() for record in caplog.records] == []
    assert nothing_attached()
