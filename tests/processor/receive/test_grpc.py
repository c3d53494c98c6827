"""Calls that wait for their turn are answered like those that are taken at once."""

import asyncio
import random
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spans import encoded, span
from spanward_processor.configuration.config import Config
from spanward_processor.configuration.settings import Forwarding
from spanward_processor.counts import Counts
from spanward_processor.forward.journalled import Journalled
from spanward_processor.h2.call import Answer, Call, Peer, Status
from spanward_processor.journal.log import Journal
from spanward_processor.journal.settings import Fsync, JournalSettings
from spanward_processor.pipeline import Pipeline
from spanward_processor.receive.admission import Admission
from spanward_processor.receive.gate import Gate
from spanward_processor.receive.grpc import GrpcReceiver
from spanward_processor.receive.intake import Intake
from spanward_processor.receive.pace import Pace
from spanward_processor.signals import Signal
from spanward_processor.status import retry_delay_s

MIB = 1 << 20


class Receiver:
    """A real receiver in which nobody is ever taken at once.

    Args:
        folder: Where its journal lies.
        fsync: When the journal is forced to the medium; `ALWAYS` makes taking need time.
        most_wait_s: Longest that a call waits, seconds.
    """

    def __init__(self, folder: Path, fsync: Fsync = Fsync.OFF, most_wait_s: float = 60.0) -> None:
        config = Config()
        self.counts = Counts()
        journal = Journal(JournalSettings(folder, 16 * MIB, MIB, fsync), ["a"])
        delivery = Journalled(journal, [], Forwarding(), random.Random(1), always_synced=fsync is Fsync.ALWAYS)
        pipeline = Pipeline(config.detection.as_settings(), config.limits.as_settings())
        pace = Pace(turn_s=1e-9, most_wait_s=most_wait_s)
        workers = ThreadPoolExecutor(1)
        intake = Intake(pipeline, delivery, Admission(16 * MIB, 100), pace, self.counts, workers)
        self.receiver = GrpcReceiver(intake, Gate(), 16 * MIB, 100.0)

    async def _answer(self, body: bytes) -> Answer:
        path = f"/{Signal.TRACES.service}/Export"
        outcome = self.receiver(Call(path, {}, body, compressed=False, peer=Peer("127.0.0.1"), timeout_s=None))
        return await outcome if isinstance(outcome, Awaitable) else outcome

    def answers(self, *bodies: bytes) -> list[Answer]:
        """Return the answers to calls that come together."""

        async def run() -> list[Answer]:
            return list(await asyncio.gather(*map(self._answer, bodies)))

        return asyncio.run(run())


LARGE = encoded(*(span({"text": "x" * 1000}) for _ in range(100)))
SMALL = encoded(span())


@pytest.mark.parametrize("fsync", [Fsync.OFF, Fsync.ALWAYS], ids=["in-no-time", "in-time"])
@pytest.mark.parametrize(("body", "spans"), [(LARGE, 100), (SMALL, 1)], ids=["large", "small"])
def test_calls_in_line_are_taken(tmp_path: Path, fsync: Fsync, body: bytes, spans: int) -> None:
    """All of them, whether taking one needs time, is joined with others, or is done at once."""
    receiver = Receiver(tmp_path, fsync)
    assert receiver.answers(*[body] * 5) == [Answer()] * 5
    assert receiver.counts.accepted == 5 * spans


def test_a_wrong_call_in_line_is_told_so(tmp_path: Path) -> None:
    """Its neighbours are taken."""
    answers = Receiver(tmp_path).answers(LARGE, b"\x0a\xff", LARGE)
    assert [answer.status for answer in answers] == [Status.OK, Status.INVALID_ARGUMENT, Status.OK]


def test_a_call_that_waited_too_long_is_asked_to_come_back(tmp_path: Path) -> None:
    """With the delay that OTLP asks for, and counted."""
    receiver = Receiver(tmp_path, most_wait_s=0.0)
    answers = receiver.answers(LARGE, LARGE, LARGE)
    assert [answer.status for answer in answers] == [Status.OK] + [Status.UNAVAILABLE] * 2
    assert retry_delay_s(answers[1].details) == 1.0
    assert (receiver.counts.accepted, receiver.counts.refused_requests) == (100, 2)
