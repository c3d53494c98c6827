"""Captured spans for every test of the SDK."""

from collections.abc import Iterator

import pytest

import spanward
from captured import KEY
from spanward.testing import CapturedSpans, capture_spans


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    """Spans that end inside the test, under a known key."""
    with capture_spans() as captured:
        spanward.configure(hashing_key=KEY)
        yield captured
