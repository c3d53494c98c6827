"""Texts as customers write them: sentences of the corpus with names, numbers and slips of their own."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from spanward_processor.demo.corpus import Sentence, load_words

_SLOT: Final = re.compile(r"\{(\w+)\}")
_SLIP_RATIO: Final = 0.06  # share of words with a typing slip

_CODE_LETTERS: Final = "ABCDEFGHKLMNPRSTUVWXYZ"


_PATTERNS: Final[dict[str, str]] = {
    "date": "{day} {month}",
    "name": "{first} {last}",
    "street": "{house} {road}",
}
"""Slots made of slots."""

_NUMBERS: Final[dict[str, Callable[[Random], str]]] = {
    "amount": lambda rng: f"{rng.randint(2, 400)}.{rng.randint(0, 99):02}",
    "card": lambda rng: f"{rng.randint(0, 9999):04}",
    "code": lambda rng: f"{rng.choice(_CODE_LETTERS)}{rng.choice(_CODE_LETTERS)}{rng.randint(1000, 99999)}",
    "count": lambda rng: str(rng.randint(2, 900)),
    "day": lambda rng: str(rng.randint(1, 28)),
    "house": lambda rng: str(rng.randint(1, 180)),
    "order": lambda rng: str(rng.randint(100_000, 999_999)),
    "percent": lambda rng: str(rng.randint(5, 95)),
    "time": lambda rng: f"{rng.randint(6, 22)}:{rng.randint(0, 59):02}",
    "version": lambda rng: f"{rng.randint(2, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 40)}",
}
"""Slots filled with numbers."""


class Writer:
    """Writes texts of a given label; nearly every one is new.

    Args:
        corpus: The sentences to draw from.
        rng: Source of randomness.
    """

    def __init__(self, corpus: Iterable[Sentence], rng: Random) -> None:
        self._rng = rng
        self._words = load_words()
        self._sentences: defaultdict[str, list[str]] = defaultdict(list)
        for sentence in corpus:
            self._sentences[sentence.label].append(sentence.text)

    def write(self, label: str, sentences: int) -> str:
        """Return a text of that many sentences about one label."""
        return " ".join(self.sentence(self._rng.choice(self._sentences[label])) for _ in range(sentences))

    def sentence(self, pattern: str) -> str:
        """Return a sentence with its slots filled, and now and then a slip."""
        return " ".join(self._typed(word) for word in self._filled(pattern).split(" "))

    def _filled(self, pattern: str) -> str:
        return _SLOT.sub(lambda slot: self._value(slot[1]), pattern)

    def _value(self, slot: str) -> str:
        if slot in _PATTERNS:
            return self._filled(_PATTERNS[slot])
        return _NUMBERS[slot](self._rng) if slot in _NUMBERS else self._rng.choice(self._words[slot])

    def _typed(self, word: str) -> str:
        if len(word) < 4 or self._rng.random() >= _SLIP_RATIO:
            return word
        at = self._rng.randrange(1, len(word) - 2)
        return f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"
