"""What tests of HTTP/2 share: a certificate authority, and clocks that are looked at often."""

from typing import TYPE_CHECKING

import pytest

from certificates import Authority
from spanward_processor.h2 import calling

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a fresh authority."""
    folder: Path = tmp_path_factory.mktemp("tls")
    return Authority(folder).make()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let channels look at the clocks often, so that tests of time limits are short."""
    monkeypatch.setattr(calling, "_TICK_S", 0.02)
