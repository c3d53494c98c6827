"""Fingerprints: near-repeats match, others do not, numpy changes nothing, and time is bounded."""

import hashlib
import math
import random
import re
import struct
import subprocess
import sys
import time
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from spanward.config import Settings
from spanward.fingerprint import MOST_CHARACTERS, MOST_HASHES, Form, Shingles, Windows, overlap
from spanward.hashing import Hasher
from spanward.windows import MOST_NUMBERS, WindowCutter

HASHER = Hasher.of(Settings(hashing_key=b"0123456789abcdef"))
OTHER = Hasher.of(Settings(hashing_key=b"another key, 16+"))
WORDS = Shingles()


def seed(data: bytes) -> bytes:
    """Return sixteen bytes, as a keyed function would."""
    return hashlib.blake2b(data, key=b"seed", digest_size=16).digest()


def print_of(value: object, form: Form = WORDS) -> bytes:
    """Return a fingerprint."""
    return HASHER.fingerprint(value, "m", form)


def words(number: int, count: int) -> list[str]:
    """Return random words."""
    rng = random.Random(number)
    return ["".join(rng.choices("abcdefgh", k=5)) for _ in range(count)]


def row(number: int, count: int) -> list[float]:
    """Return random numbers."""
    rng = random.Random(number)
    return [rng.gauss(0.0, 1.0) for _ in range(count)]


# --- Texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(20))
def test_one_changed_word_keeps_most_of_a_fingerprint(number: int) -> None:
    """Near-duplicates match: one word of forty changes less than half of the hashes."""
    text = words(number, 40)
    changed = [*text]
    changed[number] = "different"

    assert overlap(print_of(" ".join(text)), print_of(" ".join(changed))) > 0.5


def test_words_before_and_after_change_little() -> None:
    """Pieces are known wherever they stand."""
    text = " ".join(words(1, 100))

    assert overlap(print_of(text), print_of("please answer this: " + text + " thank you")) > 0.8


def test_unrelated_texts_share_nothing() -> None:
    """Different texts have different fingerprints."""
    assert overlap(print_of(" ".join(words(1, 40))), print_of(" ".join(words(2, 40)))) == 0.0


@pytest.mark.parametrize("shared", [0.2, 0.5, 0.8])
def test_overlap_estimates_the_share_of_common_pieces(shared: float) -> None:
    """The mean over keys is the true share, at most 0.05 below it: the sample of each input ends at a place of its own."""
    count, keys = 400, 200
    same = words(3, round(shared * count))
    texts = [" . ".join([*same, *words(number, count - len(same))]) for number in (4, 5)]
    form = Shingles(width=1)
    hashers = [Hasher.of(Settings(hashing_key=number.to_bytes(16, "big"))) for number in range(keys)]
    found = [overlap(*(hasher.fingerprint(text, "m", form) for text in texts)) for hasher in hashers]

    error = 0.5 / math.sqrt(form.hashes * keys)
    assert -0.05 < sum(found) / keys - shared < 3 * error


@given(st.text(max_size=80), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 4, 50]))
def test_fingerprints_of_texts_are_as_specified(text: str, width: int, hashes: int) -> None:
    """The quick way equals the obvious one: words by pattern, pieces joined one by one, all sorted."""
    normal = text if text.isascii() else unicodedata.normalize("NFKC", text)
    normal = re.sub("[\u00ad\u200b\u200c\u200d\u2060\ufeff]", "", normal)
    apart = re.sub(r"([\u0e00-\u0eff\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])", r" \1 ", normal)
    found = re.findall(rb"[\w\x80-\xff]+", apart.lower().encode())
    least = min(width, len(found))
    runs = {b" ".join(found[at : at + least]) for at in range(len(found) - least + 1) if found}
    order = int.from_bytes(seed(b"order")[:8], "big")
    expected = sorted(runs, key=lambda run: xxhash.xxh3_64_intdigest(run, order))[:hashes]

    assert list(Shingles(width, hashes=hashes).cutter(seed)(text)) == expected


@given(st.text(max_size=40), st.sampled_from([1, 4]))
def test_runs_of_characters_are_of_the_same_words(text: str, width: int) -> None:
    """Every chosen piece stands in the text as it is read: lower case, words apart by one space."""
    (read, *_) = [*Shingles(10_000).cutter(seed)(text), b""]
    pieces = [piece.decode("utf-8", "surrogatepass") for piece in Shingles(width, "characters").cutter(seed)(text)]
    whole = read.decode("utf-8", "surrogatepass")

    assert all(piece in whole for piece in pieces)
    assert len(pieces) == min(24, len({whole[at : at + width] for at in range(max(len(whole) - width, 0) + 1)} - {""}))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("The Answer is 42", "the answer, is: 42!"),
        ("caf\u00e9 au lait noir", "cafe\u0301 au lait noir"),
        ("ignore all previous instructions", "\uff49gnore all pre\u200bvious instruc\u00adtions"),
        ("\u6f22\u5b57\u4eee\u540d\u4ea4\u3058\u308a", "\u6f22 \u5b57 \u4eee\u540d\u4ea4\u3058\u308a"),
    ],
)
def test_letters_that_look_alike_make_no_difference(left: str, right: str) -> None:
    """Case, punctuation, Unicode forms and letters that nobody sees are no way around."""
    assert print_of(left) == print_of(right)


def test_texts_without_spaces_have_more_than_one_piece() -> None:
    """Where letters are words, one changed letter leaves most of the pieces."""
    letters = [chr(0x4E00 + number) for number in random.Random(1).sample(range(5000), 60)]
    changed = [*letters]
    changed[30] = "\u9f8d"

    assert 0.5 < overlap(print_of("".join(letters)), print_of("".join(changed))) < 1.0


@pytest.mark.parametrize(
    "text",
    ["a" + "\u0301" * 1_000_000, "x " * 1_000_000, "\u6f22" * 1_000_000, "x" * 1_000_000, "\U0001e008" * 100_000],
    ids=["marks", "words", "letters", "one word", "far marks"],
)
@pytest.mark.parametrize("form", [Shingles(), Shingles(8, "characters")], ids=lambda form: form.unit)
def test_long_texts_are_cut(text: str, form: Shingles) -> None:
    """Whatever is sent costs at most what the longest text does that is looked at."""
    start = time.process_time()
    fingerprint = print_of(text, form)

    assert time.process_time() - start < 1.0
    assert len(fingerprint) <= 8 * form.hashes
    assert fingerprint == print_of(text[: 2 * MOST_CHARACTERS], form)


# --- Numbers --------------------------------------------------------------------------------------------------------


def windows_of(numbers: Sequence[float], form: Windows, *, plain: bool) -> list[bytes]:
    """Return the chosen windows, by plain Python or by numpy."""
    cutter = WindowCutter(form.width, form.steps, form.hashes, seed)
    modules = pytest.MonkeyPatch()
    with modules.context() as patch:
        if plain:
            patch.delitem(sys.modules, "numpy")
        return list(cutter(numbers))


@given(
    st.lists(st.floats() | st.integers(-(2**80), 2**80) | st.sampled_from([0, 1, 0.5, -0.0]), min_size=1, max_size=80),
    st.integers(1, 20),
    st.floats(1e-300, 1e300) | st.sampled_from([0.5, 1.0, 1e-3]),
    st.sampled_from([1, 5, 50]),
)
@example([0.0] * 80, 3, 1.0, 50)
@example([math.nan, math.inf, -math.inf, 1e308], 2, 1e-300, 5)
def test_numpy_changes_nothing(numbers: list[float], width: int, step: float, hashes: int) -> None:
    """Processes with and without numpy make the same fingerprints."""
    form = Windows(width, (step,), hashes)

    assert windows_of(numbers, form, plain=True) == windows_of(numbers, form, plain=False)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 768, MOST_NUMBERS - 1, MOST_NUMBERS, 3 * MOST_NUMBERS + 1])
def test_numpy_changes_nothing_for_long_arrays(count: int) -> None:
    """Neither where most windows are left out at the first look, nor where numbers are."""
    numbers = row(count, count)
    steps = tuple(1.0 + number for number in row(1, 1)) if count > 768 else tuple(abs(n) + 0.1 for n in row(2, count))

    for form in (Windows(16, (0.5,)), Windows(8, steps, 50)):
        assert windows_of(numbers, form, plain=True) == windows_of(numbers, form, plain=False)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=40), st.integers(1, 9), st.sampled_from([1, 4, 50]))
def test_windows_are_as_specified(numbers: list[float], width: int, hashes: int) -> None:
    """The chosen windows are the first of all in the order of the polynomial, each number in its cell."""
    word = {name: int.from_bytes(seed(name)[:8], "big") for name in (b"base", b"factor", b"term")}
    base, factor, term = word[b"base"] | 1, word[b"factor"] | 1, word[b"term"]
    offsets = [int.from_bytes(seed(b"offset %d" % at)[:8], "big") / 2**64 for at in range(len(numbers))]
    cells = [math.floor(number / 0.5 + offset) for number, offset in zip(numbers, offsets, strict=True)]
    width = min(width, len(cells))

    def order(window: tuple[int, ...]) -> int:
        place: int = (sum(cell * base**at for at, cell in enumerate(window)) * factor + term) % 2**64
        return place

    windows = {tuple(cells[at : at + width]) for at in range(len(cells) - width + 1)}
    expected = [struct.pack(f"<{width}i", *window) for window in sorted(windows, key=order)[:hashes]]

    assert list(Windows(width, (0.5,), hashes).cutter(seed)(numbers)) == expected


@pytest.mark.parametrize(
    "value",
    [
        np.array([0.5, 1.5], "f4"),
        np.array([[0.5], [1.5]]),
        np.array([0.5, 1.5], ">f8"),
        (0.5, 1.5),
        np.array([0, 0.5, 1.5])[1:],
    ],
    ids=range(5),
)
def test_numbers_count_and_not_who_holds_them(value: object) -> None:
    """Lists, tuples and arrays of any layout and precision have one fingerprint."""
    form = Windows(1, (0.25,))

    assert print_of(value, form) == print_of([0.5, 1.5], form) != b""


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int64"])
def test_tensors_have_the_fingerprint_of_their_numbers(dtype: str) -> None:
    """In main memory; one on a device is left there."""
    torch: Any = pytest.importorskip("torch")
    form = Windows(2, (0.25,))
    tensor = torch.tensor([1.0, 2.0, 3.0], dtype=getattr(torch, dtype))

    assert print_of(tensor, form) == print_of([1.0, 2.0, 3.0], form)
    assert print_of(torch.ones(3, device="meta"), form) == b""


@pytest.mark.parametrize("number", range(10))
def test_noise_far_below_a_step_keeps_most_windows(number: int) -> None:
    """A vector and itself with noise of a thousandth of a step match; two vectors do not."""
    form = Windows(16, (1.0,))
    noisy = [value + noise / 1000 for value, noise in zip(row(number, 256), row(number + 100, 256), strict=True)]

    assert overlap(print_of(row(number, 256), form), print_of(noisy, form)) > 0.5
    assert overlap(print_of(row(number, 256), form), print_of(row(number + 50, 256), form)) < 0.1


@pytest.mark.parametrize(
    "value",
    [
        "text",
        None,
        [],
        [1, "a"],
        [True],
        np.array([]),
        np.array(["a"]),
        np.array([1j]),
        [10**400],
        {"a": 1.0},
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_numbers_has_no_fingerprint_of_numbers(value: object) -> None:
    """Nothing is raised in a user's call, and nothing guessed."""
    assert print_of(value, Windows(2, (1.0,))) == b""


def test_other_lengths_than_the_calibrated_have_no_fingerprint() -> None:
    """With a step for each number the number of numbers is fixed."""
    form = Windows(1, (1.0, 2.0))

    assert print_of([1.0, 2.0], form) != b""
    assert print_of([1.0, 2.0, 3.0], form) == b""


# --- Both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "form"), [(" ".join(words(3, 5000)), Shingles()), (row(3, 5000), Windows(8, (0.5,)))], ids=["text", "row"]
)
def test_fingerprints_are_keyed_sorted_and_bounded(value: object, form: Shingles | Windows) -> None:
    """Under another key nothing matches; the order of the hashes tells nothing; there are no more than asked for."""
    fingerprint = print_of(value, form)
    hashes = [fingerprint[at : at + 8] for at in range(0, len(fingerprint), 8)]

    assert len(hashes) == form.hashes == len(set(hashes))
    assert hashes == sorted(hashes)
    assert overlap(fingerprint, OTHER.fingerprint(value, "m", form)) == 0.0
    assert overlap(fingerprint, HASHER.fingerprint(value, "another model", form)) == 0.0


@pytest.mark.parametrize("value", ["", " ,.", 7, None, [["a"]]], ids=repr)
def test_what_is_no_text_has_no_fingerprint_of_texts(value: object) -> None:
    """Nothing is raised in a user's call."""
    assert print_of(value) == b""


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Shingles(0), "Shingles.width: must be 1 or more, got 0"),
        (lambda: Shingles(hashes=51), f"Shingles.hashes: must be 1 to {MOST_HASHES}, got 51"),
        (lambda: Windows(0, (1.0,)), "Windows.width: must be 1 or more, got 0"),
        (lambda: Windows(1, ()), "Windows.steps: must be finite and above 0, got ()"),
        (lambda: Windows(1, (1.0, math.nan)), "Windows.steps: must be finite and above 0, got (1.0, nan)"),
        (lambda: Windows(1, (0.0,)), "Windows.steps: must be finite and above 0, got (0.0,)"),
    ],
)
def test_forms_that_cannot_be_are_refused(make: Any, rule: str) -> None:
    """Where they are made, by rule and value."""
    with pytest.raises(ValueError, match=re.escape(rule)):
        make()


def test_the_sdk_never_imports_numpy() -> None:
    """A fingerprint of a list in a process without numpy leaves it without."""
    program = (
        "import sys\n"
        "from spanward.hashing import Hasher\nfrom spanward.config import Settings\n"
        "from spanward.fingerprint import Windows\n"
        "hasher = Hasher.of(Settings(hashing_key=b'0123456789abcdef'))\n"
        "print(hasher.fingerprint([0.5, 1.5, 2.5], 'm', Windows(2, (0.5,))).hex(), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [print_of([0.5, 1.5, 2.5], Windows(2, (0.5,))).hex(), "False"]
