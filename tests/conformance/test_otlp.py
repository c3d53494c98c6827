"""The table of what OTLP asks for, held against the tests beside this file and against the page that shows it."""

import re
from pathlib import Path

from otlp_requirements import REQUIREMENTS

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "conformance.md"


def places() -> dict[str, str]:
    """Return the name of each test of a requirement, without `test_`, and its file."""
    files = sorted(HERE.glob("test_otlp_*.py"))
    named = [
        (name, file.name) for file in files for name in re.findall(r"^def test_(\w+)", file.read_text(), re.MULTILINE)
    ]
    assert len(named) == len({name for name, _ in named}), "a requirement is tested twice"
    return dict(named)


def test_every_requirement_has_one_test_and_every_test_a_requirement() -> None:
    """A requirement without a test, or a test without one, is noticed."""
    assert sorted(requirement.name for requirement in REQUIREMENTS) == sorted(places())


def test_names_are_distinct() -> None:
    """Two requirements never share a test."""
    assert len({requirement.name for requirement in REQUIREMENTS}) == len(REQUIREMENTS)


def test_the_page_shows_the_table() -> None:
    """docs/conformance.md holds every requirement, in order, with its test."""
    files = places()
    expected = [
        f"| {each.section} | {each.level} | {each.side} | {each.text} | `{files[each.name]}::test_{each.name}` |"
        for each in REQUIREMENTS
    ]
    shown = [line for line in PAGE.read_text().splitlines() if "::test_" in line]

    assert shown == expected
