"""The one door: what could not be delivered is refused before anything is done for it."""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spans import encoded, span
from spanward_processor.configuration.config import Config
from spanward_processor.configuration.settings import Forwarding
from spanward_processor.counts import Counts
from spanward_processor.decode import UndecodableError
from spanward_processor.forward.delivery import RefusedError
from spanward_processor.forward.journalled import Journalled
from spanward_processor.journal.log import Journal
from spanward_processor.journal.settings import Fsync, JournalSettings
from spanward_processor.pipeline import Pipeline
from spanward_processor.receive.admission import Admission
from spanward_processor.receive.intake import Intake
from spanward_processor.receive.pace import Pace
from spanward_processor.signals import Signal

MOST_BYTES = 1 << 20
SPANS = 7


class Door:
    """An intake before a journal that is full, since nobody reads it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = Config()
        self.counts = Counts()
        self.journal = Journal(JournalSettings(folder, MOST_BYTES, MOST_BYTES, Fsync.OFF), ["a"])
        self.delivery = Journalled(self.journal, [], Forwarding(), random.Random(1), always_synced=False)
        while self.journal.held_bytes + 4096 < MOST_BYTES:
            self.journal.append(Signal.TRACES, bytes(4000), 1)
        self.judged = 0
        pipeline = Pipeline(config.detection.as_settings(), config.limits.as_settings())
        monkeypatch.setattr(pipeline, "process", self._judge)
        admission, workers = Admission(1 << 30, 100), ThreadPoolExecutor(1)
        self.intake = Intake(pipeline, self.delivery, admission, Pace(), self.counts, workers)

    def _judge(self, request: bytes, *, joined: bool = False) -> None:
        del request, joined
        self.judged += 1

    def refuse(self, signal: Signal, payload: bytes) -> str:
        """Return what the sender of a request is told."""

        async def take() -> None:
            taken = self.intake.take(signal, payload)
            assert isinstance(taken, bytes)

        with pytest.raises(RefusedError) as told:
            asyncio.run(take())
        return str(told.value)


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    """Return a door before a full journal."""
    return Door(tmp_path, monkeypatch)


def request_of(spans: int, text_bytes: int = 1000) -> bytes:
    """Return an encoded request."""
    return encoded(*(span({"text": "x" * text_bytes}) for _ in range(spans)))


@pytest.mark.parametrize("text_bytes", [1000, 100_000], ids=["inline", "in-a-thread"])
def test_a_full_journal_refuses_before_spans_are_judged(door: Door, text_bytes: int) -> None:
    """The sender is told why, the spans are counted, and no time is spent on them."""
    assert f"journal.most_bytes is {MOST_BYTES}" in door.refuse(Signal.TRACES, request_of(SPANS, text_bytes))
    assert (door.judged, door.counts.refused, door.counts.refused_requests) == (0, SPANS, 1)
    assert door.delivery.without_room == SPANS
    assert door.counts.received["grpc"].refused == SPANS


def test_a_full_journal_refuses_logs_too(door: Door) -> None:
    """They have no spans to count."""
    door.refuse(Signal.LOGS, bytes(8192))
    assert (door.counts.refused, door.counts.refused_requests, door.delivery.without_room) == (0, 1, 0)


def test_malformed_spans_are_not_told_to_come_back(door: Door) -> None:
    """What could never be taken is refused for good, whether there is room or not."""
    with pytest.raises(UndecodableError):
        door.intake.take(Signal.TRACES, b"\x0a\xff" + bytes(8000))
    assert (door.judged, door.counts.refused_requests) == (0, 1)
