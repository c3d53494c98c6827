"""A start that fails leaves nothing open; a stop takes every step."""

import asyncio
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from certificates import Authority
from spanward_processor.configuration.config import Config
from spanward_processor.journal.log import Journal, JournalError
from spanward_processor.receive.listening import PortTakenError
from spanward_processor.receive.receivers import Receivers
from spanward_processor.receive.tokens import TokenFileError
from spanward_processor.server import Processor
from spanward_processor.tls import TlsError


def open_now() -> tuple[set[str], set[str]]:
    """Return what every open file descriptor leads to, sockets by number, and the names of all threads."""
    leads: set[str] = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            leads.add(str(descriptor.readlink()))
        except FileNotFoundError:
            continue  # the one by which we look
    threads = {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    return leads, threads


def whole(folder: Path, taken: str = "", **sections: Any) -> Config:
    """Return a configuration with all parts, each of which can be open."""
    receiver = {"listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"} | sections.pop("receiver", {})
    return Config.model_validate(
        {
            "receiver": receiver,
            "live": {"listen": taken or "127.0.0.1:0"},
            "journal": {"folder": str(folder / "journal")},
            "backends": [{"name": "b", "endpoint": "http://127.0.0.1:1"}],
            "forwarding": {"drain_s": 0.1},
            "telemetry": {"interval_s": 3600},
        }
        | sections
    )


def fails_cleanly(config: Config, expected: type[Exception]) -> None:
    """Start a processor that cannot start; see that it leaves nothing open."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, int)
        before = open_now()
        with pytest.raises(expected):
            await Processor(config).start()
        assert open_now() == before
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(run())


def test_a_taken_port_leaves_nothing_open(tmp_path: Path) -> None:
    """The last of three ports is taken; the other two are free again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fails_cleanly(whole(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}"), PortTakenError)


def test_a_journal_in_use_leaves_nothing_open(tmp_path: Path) -> None:
    """By then ports are bound and the page is served; another processor holds the journal."""
    config = whole(tmp_path)
    assert config.journal is not None
    journal = Journal(config.journal.as_settings(), ["b"])
    try:
        fails_cleanly(config, JournalError)
    finally:
        journal.close()


def test_a_damaged_cursor_file_leaves_nothing_open(tmp_path: Path) -> None:
    """The journal is claimed and its segments are open when a cursor turns out to be a folder."""
    (tmp_path / "journal" / "cursor-b").mkdir(parents=True)

    fails_cleanly(whole(tmp_path), IsADirectoryError)


def test_a_wrong_token_file_leaves_nothing_open(tmp_path: Path) -> None:
    """Short tokens are refused."""
    (tmp_path / "tokens").write_text("short\n")

    fails_cleanly(whole(tmp_path, receiver={"tokens_file": str(tmp_path / "tokens")}), TokenFileError)


def test_a_wrong_certificate_leaves_nothing_open(tmp_path: Path) -> None:
    """The backend's authority is no certificate: found when its exporter is made."""
    (tmp_path / "ca.pem").write_text("nonsense")
    backend = {"name": "b", "endpoint": "https://127.0.0.1:1", "tls": {"ca_file": str(tmp_path / "ca.pem")}}

    fails_cleanly(whole(tmp_path, backends=[backend]), TlsError)


def test_receivers_that_fail_at_last_leave_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very last step fails: journal, senders, telemetry's thread and both timers are ended again."""

    async def serve(*_: object) -> None:
        raise OSError("no more file descriptors")

    monkeypatch.setattr(Receivers, "serve", serve)

    fails_cleanly(whole(tmp_path), OSError)


def test_a_stop_that_fails_midway_takes_every_other_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """State cannot be copied and the journal cannot be forced: both are told, and nothing stays open."""

    async def run() -> None:
        await asyncio.get_running_loop().run_in_executor(None, int)
        before = open_now()
        processor = Processor(whole(tmp_path))
        await processor.start()
        parts = cast("Any", processor)
        parts.pipeline.arrays = _broken("state")
        segment = parts.delivery.journal._chain.last
        os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), segment.descriptor, inheritable=False)  # no fdatasync
        with pytest.raises(ExceptionGroup) as raised:
            await processor.drain()
        told = {note for error in raised.value.exceptions for note in error.__notes__}
        assert {"while closing open windows", "while closing delivery"} <= told
        leads, threads = open_now()
        assert leads - {"/dev/null"} == before[0] - {"/dev/null"}
        assert threads == before[1]

    with caplog.at_level(logging.CRITICAL):
        asyncio.run(run())


def _broken(what: str) -> Any:
    def fail(**_: object) -> None:
        raise RuntimeError(f"{what} cannot be copied")

    return fail


def test_a_stop_leaves_nothing_open(tmp_path: Path) -> None:
    """After ordinary work over gRPC with TLS, drained: no descriptor and no thread more than before."""
    authority = Authority(tmp_path).make()
    certificate, key = authority.issue("server", "/CN=server")
    config = whole(tmp_path, receiver={"tls": {"cert_file": str(certificate), "key_file": str(key)}})

    async def run() -> None:
        await asyncio.get_running_loop().run_in_executor(None, int)
        before = open_now()
        async with Processor(config):
            pass
        assert open_now() == before

    asyncio.run(run())
