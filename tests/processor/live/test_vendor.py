"""The vendored files are the ones their list names."""

import hashlib
import re
from importlib import resources

_VENDOR = resources.files("spanward_processor.live") / "static" / "vendor"
_ROW = re.compile(r"\| (?P<file>\S+) \| .* \| (?P<sum>[0-9a-f]{64}) \|")
_LICENCE = re.compile(r"`(LICENSE\.\w+)`")


def _listed() -> dict[str, str]:
    text = (_VENDOR / "VENDOR.md").read_text("utf-8")
    return {row["file"]: row["sum"] for row in _ROW.finditer(text)}


def test_vendored_files_have_the_listed_sums() -> None:
    """Nobody has changed a vendored file by hand."""
    listed = _listed()
    found = {name: hashlib.sha256((_VENDOR / name).read_bytes()).hexdigest() for name in listed}
    assert found == listed


def test_every_vendored_file_is_listed_with_its_licence() -> None:
    """The folder holds the listed files, the licences the list names, and the list itself."""
    licences = set(_LICENCE.findall((_VENDOR / "VENDOR.md").read_text("utf-8")))
    assert {entry.name for entry in _VENDOR.iterdir()} == {*_listed(), *licences, "VENDOR.md"}
