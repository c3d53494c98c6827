"""Bearer tokens from a file: what is accepted, what is not, and how a changed file comes into force."""

import os
from pathlib import Path

import pytest

from spanward_processor.receive.tokens import TokenFileError, Tokens

FIRST, SECOND, THIRD = "first-token-of-16", "second-token-of-16", "third-token-of-16"


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two tokens, with a comment and an empty line."""
    path = tmp_path / "tokens"
    path.write_text(f"# senders of staging\n{FIRST}\n\n{SECOND}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("shown", [f"Bearer {FIRST}", f"Bearer {SECOND}", f"bearer {FIRST}", f"BEARER  {SECOND} "])
def test_every_token_of_the_file_is_accepted(shown: str, file: Path) -> None:
    """The scheme's case and spaces do not matter."""
    assert Tokens(file, Clock()).accepts(shown)


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer", "Bearer ", FIRST, f"Basic {FIRST}", f"Bearer {FIRST[:-1]}", f"Bearer {FIRST}x", "Bearer # senders of staging"],
)  # fmt: skip
def test_anything_else_is_not(shown: str, file: Path) -> None:
    """No header, another scheme, part of a token, a comment: none lets anybody in."""
    assert not Tokens(file, Clock()).accepts(shown)


def test_a_header_of_any_bytes_is_only_wrong(file: Path) -> None:
    """Bytes that are no text, as header parsers hand them on, do no harm."""
    assert not Tokens(file, Clock()).accepts("Bearer \udcff\udc80 ключ")


def test_a_changed_file_comes_into_force_within_a_second(file: Path) -> None:
    """New tokens are accepted and removed ones are not, without a restart."""
    clock = Clock()
    tokens = Tokens(file, clock)
    file.write_text(f"{SECOND}\n{THIRD}\n", encoding="utf-8")
    assert tokens.accepts(f"Bearer {FIRST}")  # the file is looked at once a second
    clock.now += 1.0

    assert [tokens.accepts(f"Bearer {each}") for each in (FIRST, SECOND, THIRD)] == [False, True, True]


def test_a_file_that_was_exchanged_comes_into_force(file: Path, tmp_path: Path) -> None:
    """Secrets that an orchestrator mounts are exchanged by renaming, with any time stamp."""
    clock = Clock()
    tokens = Tokens(file, clock)
    status = file.stat()
    other = tmp_path / "other"
    other.write_text(file.read_text(encoding="utf-8").replace(FIRST, THIRD), encoding="utf-8")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    clock.now += 1.0

    assert tokens.accepts(f"Bearer {THIRD}")
    assert not tokens.accepts(f"Bearer {FIRST}")


@pytest.mark.parametrize("content", ["", "short\n", None])
def test_a_file_that_cannot_be_used_leaves_the_old_tokens_in_force(
    content: str | None, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A slip while writing the file locks nobody out and lets nobody in; the log says so without a token."""
    clock = Clock()
    tokens = Tokens(file, clock)
    if content is None:
        file.unlink()
    else:
        file.write_text(content, encoding="utf-8")
    clock.now += 1.0

    assert tokens.accepts(f"Bearer {FIRST}")
    assert not tokens.accepts("Bearer short")
    assert "tokens stay as they were" in caplog.text
    assert FIRST not in caplog.text


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"short\n", f"{FIRST}\nshort\n".encode(), b"\xff\xfe" * 20])
def test_at_start_a_file_that_cannot_be_used_is_an_error(content: bytes, tmp_path: Path) -> None:
    """No token, too short a one, or no text: the error names the file and shows nothing of it."""
    path = tmp_path / "tokens"
    path.write_bytes(content)

    with pytest.raises(TokenFileError, match="must") as raised:
        Tokens(path, Clock())

    assert str(path) in str(raised.value)
    assert FIRST not in str(raised.value)
    assert "short" not in str(raised.value)
