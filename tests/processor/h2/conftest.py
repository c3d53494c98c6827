"""One certificate authority for all tests of TLS."""

from typing import TYPE_CHECKING

import pytest

from certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a fresh authority."""
    folder: Path = tmp_path_factory.mktemp("tls")
    return Authority(folder).make()
