"""The page of tables: what it says of streams and patches is what the code does."""

from pathlib import Path

import pytest

import showing

PAGE = (Path(__file__).parents[2] / "docs" / "integrations.md").read_text()


@pytest.mark.parametrize("table", [showing.streams, showing.patches], ids=lambda table: table.__name__)
@pytest.mark.filterwarnings("default")  # frameworks warn of their own use of older names
def test_the_page_has_every_row_that_is_printed(table: "showing.Table", capsys: pytest.CaptureFixture[str]) -> None:
    """No row differs, and none is missing, of the frameworks that are installed."""
    table()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]

    assert len(rows) > 9
    assert [row for row in rows if row not in PAGE.splitlines()] == []
    assert "NO |" not in PAGE
