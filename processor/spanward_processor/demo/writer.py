"""Texts as customers write them: sentences of the corpus with names, numbers and slips of their own."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from spanward_processor.demo.corpus import Sentence

_SLOT: Final = re.compile(r"\{(\w+)\}")
_SLIP_RATIO: Final = 0.06  # share of words with a typing slip

_FIRST: Final = (
    "Aisha Amir Anna Ben Carlos Chen Clara David Elena Emeka Emma Farid Fatima George Hana Ines Ivan Jack Jonas Julia "
    "Kofi Lars Leila Lucas Maria Mateo Mei Nadia Noah Olga Omar Paula Priya Rosa Samuel Sofia Tariq Tomas Wanjiru Yuki"
).split()
_LAST: Final = (
    "Adeyemi Ahmed Andersen Bauer Bianchi Costa Diaz Dubois Eriksson Ferrari Fischer Garcia Haddad Hughes Ito Jensen "
    "Kaya Khan Kim Kowalski Larsen Lopez Mensah Moreau Murphy Nguyen Novak Okafor Patel Petrov Rossi Santos Schmidt "
    "Silva Singh Smith Suzuki Tanaka Weber Yilmaz"
).split()
_CITIES: Final = (
    "Aarhus Antwerp Athens Bergen Bilbao Bologna Bristol Brno Cork Cracow Dresden Dublin Geneva Ghent Graz Hamburg "
    "Helsinki Leeds Leipzig Lisbon Ljubljana Lyon Madrid Malmo Milan Nantes Oslo Porto Prague Riga Seville Tallinn "
    "Turin Utrecht Vienna Vilnius Zagreb Zurich"
).split()
_ITEMS: Final = (
    "air fryer|alarm clock|baby monitor|backpack|bread maker|camera|coffee grinder|cordless drill|desk lamp|dishwasher|"
    "door bell|electric kettle|espresso machine|fitness watch|food processor|garden hose|hair dryer|headset|heat pump|"
    "induction hob|label printer|lawn mower|mattress|microwave|modem|office chair|projector|robot vacuum|rice cooker|"
    "router|sewing machine|smart lock|soundbar|stroller|tent|thermostat|toaster|video recorder|washing machine|webcam"
).split("|")
_DEVICES: Final = (
    "Android phone|Chromebook|Galaxy tablet|iPad|iPhone|laptop|Linux desktop|MacBook|Pixel|Surface|Windows PC|work phone"
).split("|")
_BROWSERS: Final = ("Chrome", "Edge", "Firefox", "Opera", "Safari", "Vivaldi")
_STREETS: Final = (
    "Birch Lane|Canal Street|Castle Road|Chapel Hill|Church Street|East Quay|Garden Row|High Street|Kings Road|Lake View|"
    "Market Place|Mill Lane|Museum Street|Oak Avenue|Park Road|Queen Street|River Walk|Station Road|Union Square|West End"
).split("|")
_MONTHS: Final = ("January February March April May June July August September October November December").split()
_ORDINALS: Final = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_CODE_LETTERS: Final = "ABCDEFGHKLMNPRSTUVWXYZ"


def _name(rng: Random) -> str:
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def _date(rng: Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(_MONTHS)}"


_FILL: Final[dict[str, Callable[[Random], str]]] = {
    "amount": lambda rng: f"{rng.randint(2, 400)}.{rng.randint(0, 99):02}",
    "browser": lambda rng: f"{rng.choice(_BROWSERS)} {rng.randint(100, 160)}",
    "card": lambda rng: f"{rng.randint(0, 9999):04}",
    "city": lambda rng: rng.choice(_CITIES),
    "code": lambda rng: f"{rng.choice(_CODE_LETTERS)}{rng.choice(_CODE_LETTERS)}{rng.randint(1000, 99999)}",
    "count": lambda rng: str(rng.randint(2, 900)),
    "date": _date,
    "device": lambda rng: rng.choice(_DEVICES),
    "item": lambda rng: rng.choice(_ITEMS),
    "month": lambda rng: rng.choice(_MONTHS),
    "name": _name,
    "order": lambda rng: str(rng.randint(100_000, 999_999)),
    "ordinal": lambda rng: rng.choice(_ORDINALS),
    "percent": lambda rng: str(rng.randint(5, 95)),
    "street": lambda rng: f"{rng.randint(1, 180)} {rng.choice(_STREETS)}",
    "time": lambda rng: f"{rng.randint(6, 22)}:{rng.randint(0, 59):02}",
    "version": lambda rng: f"{rng.randint(2, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 40)}",
}


class Writer:
    """Writes texts of a given label; nearly every one is new.

    Args:
        corpus: The sentences to draw from.
        rng: Source of randomness.
    """

    def __init__(self, corpus: Iterable[Sentence], rng: Random) -> None:
        self._rng = rng
        self._sentences: defaultdict[str, list[str]] = defaultdict(list)
        for sentence in corpus:
            self._sentences[sentence.label].append(sentence.text)

    def write(self, label: str, sentences: int) -> str:
        """Return a text of that many sentences about one label."""
        return " ".join(self.sentence(self._rng.choice(self._sentences[label])) for _ in range(sentences))

    def sentence(self, pattern: str) -> str:
        """Return a sentence with its slots filled, and now and then a slip."""
        filled = _SLOT.sub(lambda slot: _FILL[slot[1]](self._rng), pattern)
        return " ".join(self._typed(word) for word in filled.split(" "))

    def _typed(self, word: str) -> str:
        if len(word) < 4 or self._rng.random() >= _SLIP_RATIO:
            return word
        at = self._rng.randrange(1, len(word) - 2)
        return f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"
