"""The journal: nothing acknowledged is lost, nothing delivered is kept."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanward_processor.journal.log import Journal, JournalError, JournalFullError
from spanward_processor.journal.record import HEADER
from spanward_processor.journal.settings import Fsync, JournalSettings
from spanward_processor.signals import Signal

SMALL = 64 << 10


def opened(
    folder: Path,
    *readers: str,
    most_bytes: int = 8 << 20,
    recent_bytes: int = 1 << 20,
    fsync: Fsync = Fsync.OFF,
) -> Journal:
    """Open a journal; without names it has the reader `a`."""
    return Journal(JournalSettings(folder, most_bytes, recent_bytes, fsync), readers or ("a",))


def drained(journal: Journal, reader: str = "a", *, confirm: bool = True) -> list[bytes]:
    """Take everything there is."""
    payloads: list[bytes] = []
    while records := journal.reader(reader).take(1 << 20):
        payloads += [bytes(record.payload) for record in records]
        if confirm:
            journal.reader(reader).confirm(records[-1].end)
    return payloads


def filled(journal: Journal, size: int) -> int:
    """Append until nothing more is taken; return how many records fitted."""
    for count in range(1000):
        try:
            journal.append(Signal.TRACES, bytes(size))
        except JournalFullError:
            return count
    raise AssertionError("the journal took everything")


def segments(folder: Path) -> list[Path]:
    """Return the journal's files, oldest first."""
    return sorted(folder.glob("*.segment"))


def test_records_come_back_in_order_with_signal_and_spans(tmp_path: Path) -> None:
    """What is read is what was written."""
    journal = opened(tmp_path)
    journal.append(Signal.TRACES, b"one", 3)
    journal.append(Signal.LOGS, b"two")

    first, second = journal.reader("a").take(100), journal.reader("a").take(100)

    assert [(record.signal, record.spans, record.payload) for record in (*first, *second)] == [
        (Signal.TRACES, 3, b"one"),
        (Signal.LOGS, 0, b"two"),
    ]
    journal.close()


def test_signals_are_never_taken_together(tmp_path: Path) -> None:
    """A run of one signal ends where another begins."""
    journal = opened(tmp_path)
    for kind in (Signal.TRACES, Signal.TRACES, Signal.METRICS, Signal.TRACES):
        journal.append(kind, b"x")

    runs = [len(journal.reader("a").take(100)) for _ in range(3)]

    assert runs == [2, 1, 1]
    journal.close()


def test_take_is_bounded_by_bytes_but_never_empty(tmp_path: Path) -> None:
    """A run ends before it exceeds the bound; one larger record is taken alone."""
    journal = opened(tmp_path)
    for size in (50, 40, 40, 200):
        journal.append(Signal.TRACES, bytes(size))

    taken = [[len(record.payload) for record in journal.reader("a").take(100)] for _ in range(3)]

    assert taken == [[50, 40], [40], [200]]
    journal.close()


@pytest.mark.parametrize("recent_bytes", [0, 100, 1 << 20])
def test_readers_go_at_their_own_pace(tmp_path: Path, recent_bytes: int) -> None:
    """A slow reader gets everything, whether it is still in memory or only on disk."""
    journal = opened(tmp_path, "fast", "slow", recent_bytes=recent_bytes)
    payloads = [bytes([number]) * 30 for number in range(50)]
    for payload in payloads:
        journal.append(Signal.TRACES, payload)
        drained(journal, "fast")

    assert drained(journal, "slow") == payloads
    journal.close()


def test_reopened_journal_gives_what_was_not_confirmed(tmp_path: Path) -> None:
    """After a restart delivery goes on at the last confirmed position."""
    journal = opened(tmp_path)
    for payload in (b"1", b"2", b"3"):
        journal.append(Signal.TRACES, payload)
    journal.reader("a").confirm(journal.reader("a").take(1)[0].end)
    journal.close()

    again = opened(tmp_path)

    assert drained(again) == [b"2", b"3"]
    again.close()


def test_delivered_segments_are_deleted(tmp_path: Path) -> None:
    """The disk holds what some backend still needs, one file to write to, and one to write over."""
    journal = opened(tmp_path, "a", "b", most_bytes=SMALL)
    for _ in range(40):
        journal.append(Signal.TRACES, bytes(1000))
    drained(journal, "a")
    before = len(segments(tmp_path))
    drained(journal, "b")

    assert (before, len(segments(tmp_path))) == (5, 2)
    journal.close()
    assert len(segments(tmp_path)) == 1


def test_file_written_over_brings_nothing_back(tmp_path: Path) -> None:
    """What a file held before is never read again, not even after a crash that leaves it behind the newest record."""
    journal = opened(tmp_path, most_bytes=SMALL)
    for number in range(60):
        journal.append(Signal.TRACES, bytes([number]) * 1000)
        drained(journal)
    journal.append(Signal.TRACES, b"newest")
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path, crashed)
    stale = sum(path.stat().st_size for path in segments(crashed))

    again = opened(crashed, most_bytes=SMALL)

    assert stale > SMALL // 8  # there was something to bring back
    assert drained(again) == [b"newest"]
    again.close()
    journal.close()


def test_full_journal_refuses_and_takes_again_when_drained(tmp_path: Path) -> None:
    """The bound on disk is kept; after delivery there is room again."""
    journal = opened(tmp_path, most_bytes=SMALL)
    filled(journal, 1000)
    with pytest.raises(JournalFullError, match=f"journal.most_bytes is {SMALL}"):
        journal.append(Signal.TRACES, bytes(1000))
    assert journal.held_bytes <= SMALL
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= SMALL
    drained(journal)

    journal.append(Signal.TRACES, b"fits")

    assert drained(journal) == [b"fits"]
    journal.close()


def test_new_backend_begins_at_the_end(tmp_path: Path) -> None:
    """What was acknowledged before a backend was configured is not owed to it."""
    journal = opened(tmp_path, "a")
    journal.append(Signal.TRACES, b"old")
    journal.close()

    again = opened(tmp_path, "a", "b")
    again.append(Signal.TRACES, b"new")

    assert (drained(again, "a"), drained(again, "b")) == ([b"old", b"new"], [b"new"])
    again.close()


def test_backend_that_is_gone_holds_nothing_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The position of a backend that is no longer configured is forgotten, with a warning that says what it missed."""
    journal = opened(tmp_path, "a", "gone/1")
    journal.append(Signal.TRACES, b"x" * 68)
    journal.close()

    opened(tmp_path, "a").close()

    assert "backend=gone/1 undelivered_bytes=100" in caplog.text
    assert [path.name for path in tmp_path.glob("cursor-*")] == ["cursor-a"]


def test_folder_belongs_to_one_process(tmp_path: Path) -> None:
    """A second journal in the same folder is refused in a sentence."""
    journal = opened(tmp_path)
    with pytest.raises(JournalError, match=r"journal\.folder: must be used by one process only"):
        opened(tmp_path)
    journal.close()


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error says path, rule and reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"journal\.folder: must be a folder we can write, got .*file"):
        opened(tmp_path / "file" / "journal")


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    """Folder and files are the owner's alone."""
    folder = tmp_path / "journal"
    journal = opened(folder)
    journal.append(Signal.TRACES, b"x")

    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    journal.close()


# --- damage ----------------------------------------------------------------------------------------------------------


def _noted(monkeypatch: pytest.MonkeyPatch, call: str) -> list[Path]:
    """Return a list of what is forced to the medium by a call of the system, which grows from now on."""
    forced: list[Path] = []
    force = getattr(os, call)

    def noted(descriptor: int) -> None:
        forced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        force(descriptor)

    monkeypatch.setattr(os, call, noted)
    return forced


def test_name_of_each_new_file_is_forced_to_the_medium_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a record in a new file is acknowledged the folder is forced too: without its name the file is lost."""
    forced = _noted(monkeypatch, "fsync")
    journal = opened(tmp_path, most_bytes=8 * SMALL, fsync=Fsync.ALWAYS)
    while len(segments(tmp_path)) < 3:
        journal.append(Signal.TRACES, bytes(10_000))

    assert forced == [tmp_path] * 3
    journal.close()


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_request_never_waits_for_a_full_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At intervals nothing is forced while requests are written, and every file that was written since with the next interval."""
    forced = _noted(monkeypatch, "fdatasync")
    journal = opened(tmp_path, most_bytes=8 * SMALL, fsync=Fsync.INTERVAL)
    while len(segments(tmp_path)) < 4:
        journal.append(Signal.TRACES, bytes(10_000))
    assert forced == []
    journal.sync()

    assert forced == segments(tmp_path)
    forced.clear()
    journal.append(Signal.TRACES, bytes(10_000))
    journal.sync()
    assert forced == segments(tmp_path)[-1:]
    journal.close()


def test_a_file_may_be_let_go_while_it_is_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What backends took meanwhile is deleted, and forcing it goes on without a fault; nothing stays open."""
    journal = opened(tmp_path, most_bytes=8 * SMALL, fsync=Fsync.INTERVAL)
    before = _open_files()
    while len(segments(tmp_path)) < 4:
        journal.append(Signal.TRACES, bytes(10_000))
    fdatasync = os.fdatasync

    def let_go(descriptor: int) -> None:
        drained(journal)
        fdatasync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", let_go)
        journal.sync()

    assert len(segments(tmp_path)) <= 2
    assert _open_files() <= before + 1  # the newest file, and one to be written over
    journal.close()


@pytest.mark.parametrize("cut", range(1, HEADER.size + 10))
def test_torn_last_record_is_cut_off(tmp_path: Path, cut: int) -> None:
    """Wherever the last record was cut, those before it are whole and new ones follow them."""
    journal = opened(tmp_path)
    journal.append(Signal.TRACES, b"whole")
    journal.append(Signal.TRACES, b"0123456789")
    journal.close()
    path = segments(tmp_path)[0]
    os.truncate(path, path.stat().st_size - cut)

    again = opened(tmp_path)
    again.append(Signal.TRACES, b"next")

    assert drained(again) == [b"whole", b"next"]
    again.close()


def test_damaged_record_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A flipped bit in one request loses that request, says so, and no other."""
    journal = opened(tmp_path)
    for payload in (b"first", b"second", b"third"):
        journal.append(Signal.TRACES, payload)
    journal.close()
    with segments(tmp_path)[0].open("r+b") as file:
        file.seek(2 * HEADER.size + 5)
        file.write(b"X")

    again = opened(tmp_path)

    assert drained(again) == [b"first", b"third"]
    assert "journal damaged" in caplog.text
    again.close()


def test_damaged_header_costs_no_other_file(tmp_path: Path) -> None:
    """When a header is destroyed the rest of its file is lost, and later files are read."""
    journal = opened(tmp_path, most_bytes=SMALL)
    for number in range(20):
        journal.append(Signal.TRACES, bytes([number]) * 1000)
    journal.close()
    with segments(tmp_path)[0].open("r+b") as file:
        file.write(b"\xff" * HEADER.size)

    again = opened(tmp_path, most_bytes=SMALL)
    rest = drained(again)

    assert rest == [bytes([number]) * 1000 for number in range(20 - len(rest), 20)]
    assert len(rest) >= 10
    again.close()


def test_position_cut_short_delivers_again_rather_than_not_at_all(tmp_path: Path) -> None:
    """A cursor that cannot be trusted begins at the oldest record."""
    journal = opened(tmp_path)
    journal.append(Signal.TRACES, b"x")
    drained(journal)
    journal.close()
    (tmp_path / "cursor-a").write_bytes(bytes(16))

    again = opened(tmp_path)

    assert drained(again) == [b"x"]
    again.close()


def test_failed_write_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    """When a file cannot grow the request is refused, and what was there stays readable."""
    journal = opened(tmp_path)
    journal.append(Signal.TRACES, b"kept")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(JournalFullError, match="File too large"):
            journal.append(Signal.TRACES, bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    journal.append(Signal.TRACES, b"after")

    assert drained(journal) == [b"kept", b"after"]
    journal.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs is not allowed here; RLIMIT_FSIZE covers the refusal")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_refuses_and_recovers(tiny_disk: Path) -> None:
    """On a disk that is full requests are refused; when a backend takes them there is room again."""
    journal = opened(tiny_disk / "journal", most_bytes=512 << 10)
    written = filled(journal, 4000)
    with pytest.raises(JournalFullError, match="No space left"):
        journal.append(Signal.TRACES, bytes(4000))

    assert len(drained(journal)) == written > 20
    journal.append(Signal.TRACES, b"again")
    assert drained(journal) == [b"again"]
    journal.close()


_WRITER = """
import sys, pathlib
from spanward_processor.journal.log import Journal
from spanward_processor.journal.settings import Fsync, JournalSettings
from spanward_processor.signals import Signal
journal = Journal(JournalSettings(pathlib.Path(sys.argv[1]), 64 << 20, 0, Fsync(sys.argv[2])), ["a"])
for number in range(10**9):
    journal.append(Signal.TRACES, number.to_bytes(8, "big") * 50, 1)
    sys.stdout.buffer.write(number.to_bytes(8, "big"))
    sys.stdout.buffer.flush()
"""


@pytest.mark.parametrize("fsync", list(Fsync))
def test_killed_process_loses_nothing_it_acknowledged(tmp_path: Path, fsync: Fsync) -> None:
    """After kill -9 every record that was acknowledged is there, under every policy."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path), fsync.value], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout
        seen = writer.stdout.read(8 * 100)
        writer.kill()
        seen += writer.stdout.read()
    acknowledged = len(seen) // 8

    journal = opened(tmp_path)
    found = drained(journal)

    assert found[:acknowledged] == [number.to_bytes(8, "big") * 50 for number in range(acknowledged)]
    assert len(found) <= acknowledged + 1
    journal.close()


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.one_of(
            st.integers(1, 3000),  # append so many bytes
            st.sampled_from(["a", "b"]),  # let a reader take and confirm
            st.just("reopen"),
        ),
        max_size=60,
    ),
    recent_bytes=st.sampled_from([0, 5000, 1 << 20]),
)
def test_any_history_delivers_everything_once_to_each(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str], recent_bytes: int
) -> None:
    """Whatever is appended, taken and reopened, each reader gets every record once and in order."""
    folder = tmp_path_factory.mktemp("journal")
    written: list[bytes] = []
    read: dict[str, list[bytes]] = {"a": [], "b": []}
    journal = opened(folder, "a", "b", most_bytes=SMALL << 2, recent_bytes=recent_bytes)
    for number, step in enumerate(steps):
        if isinstance(step, int):
            written.append(number.to_bytes(2, "big") + bytes(step))
            journal.append(Signal.TRACES, written[-1])
        elif step == "reopen":
            journal.close()
            journal = opened(folder, "a", "b", most_bytes=SMALL << 2, recent_bytes=recent_bytes)
        else:
            records = journal.reader(step).take(4000)
            read[step] += [bytes(record.payload) for record in records]
            if records:
                journal.reader(step).confirm(records[-1].end)
    for name, payloads in read.items():
        payloads += drained(journal, name)

    assert read == {"a": written, "b": written}
    journal.close()
