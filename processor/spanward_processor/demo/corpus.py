"""The labelled sentences shipped with the demo: what people write to a customer support desk.

Written for this project and part of it (Apache-2.0); no customer's words. `{order}`, `{name}` and the like are slots that
`customers.Writer` fills.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

LABELS: Final = ("billing", "delivery", "technical", "account")
"""The desks a text can be routed to."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence with its slots, and the desk it belongs to."""

    label: str
    text: str


def load_corpus() -> tuple[Sentence, ...]:
    """Read the sentences, in the order of the file."""
    return tuple(Sentence(label, text) for label, text in _rows("corpus.tsv"))


def load_words() -> dict[str, tuple[str, ...]]:
    """Read the words that may stand in a slot, by slot."""
    return {slot: tuple(words.split("|")) for slot, words in _rows("words.tsv")}


def _rows(name: str) -> list[list[str]]:
    lines = files("spanward_processor.demo").joinpath(name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines[1:]]
