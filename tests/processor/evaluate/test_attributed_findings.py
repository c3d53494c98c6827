"""What counts as the right name, and one story told to its end."""

from dataclasses import replace

import numpy as np
import pytest

from findings import FINDING
from spanward_processor.evaluate.evaluations.attributed_findings import STORIES, is_right, told
from spanward_processor.findings import Finding, SliceShare
from spanward_processor.testing.encoding import text_of
from spanward_processor.testing.worlds import Incident

SEED = 6


def naming(*channels: int) -> Finding:
    """Return a finding that names these channels."""
    shares = tuple(SliceShare("spanward.channel", text_of(channel), 3.0, 10, "") for channel in channels)
    return replace(FINDING, slices=shares)


def test_the_first_name_counts() -> None:
    """The channel behind it must stand first; where all suffer alike nobody may be named."""
    assert is_right(naming(3, 5), 3)
    assert not is_right(naming(5, 3), 3)
    assert not is_right(naming(), 3)
    assert is_right(naming(), -1)
    assert not is_right(naming(3), -1)


@pytest.mark.slow
def test_a_story_is_told_to_its_end() -> None:
    """A channel that fails is found and named; a world in which nothing goes wrong has no finding about it."""
    print(f"seed {SEED}")
    failing = next(story for story in STORIES if "fails" in story.name)

    finding, channel = told(failing, np.random.default_rng(SEED))
    nothing, _ = told(replace(failing, incident=lambda _: Incident(1e9)), np.random.default_rng(SEED))

    assert finding
    assert is_right(finding, channel)
    assert nothing is None
