"""Which series are versions of one model."""

import pytest

from spanward_processor.canary import arms
from spanward_processor.canary.arms import Versions
from spanward_processor.testing.traffic import QUIET, Traffic


def test_very_many_new_series_are_looked_at_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait while versions are looked for; what one look leaves out, later ones bring, each once."""
    traffic = Traffic(1, window_s=10.0)
    next(traffic.windows(QUIET, 1))
    every = Versions(traffic.directory).look(1)
    monkeypatch.setattr(arms, "_MOST_AT_ONCE", 1)
    versions = Versions(traffic.directory)

    found = [versions.look(number) for number in range(1, traffic.directory.named)]

    assert max(map(len, found)) == 1
    assert [key for one in found for key in one] == every == [1]
    assert versions.look(0) == []
