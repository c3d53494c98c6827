"""Texts in Unicode's normal form, within bounds of time.

Source: Unicode Standard Annex 15, "Unicode Normalization Forms", section 13 (Stream-Safe Text Process: no text of any language has
more than thirty non-starters in a row).
"""

import itertools
import unicodedata
from typing import Final, Literal

_LONGEST_RUN: Final = 30  # non-starters in a row
_STRIDE: Final = 15  # of any run that is longer, two characters so far apart are looked at


def normal_text(text: str, form: Literal["NFC", "NFKC"] = "NFC") -> str | None:
    """Return a text in normal form, or None where a run of combining marks is longer than in any language.

    Python puts a run in order in a time that grows with the square of its length: minutes for a megabyte made for it.

    Args:
        text: Any text.
        form: `NFC`, or `NFKC`, which makes compatible letters one.
    """
    if text.isascii():
        return text
    if len(text) > _LONGEST_RUN and _has_long_run(text):
        return None
    return unicodedata.normalize(form, text)


def _has_long_run(text: str) -> bool:
    looked_at = list(map(unicodedata.combining, text[::_STRIDE]))
    if not any(first and second for first, second in itertools.pairwise(looked_at)):
        return False
    runs = itertools.groupby(map(unicodedata.combining, text), bool)
    return any(next(itertools.islice(run, _LONGEST_RUN, None), None) for marks, run in runs if marks)
