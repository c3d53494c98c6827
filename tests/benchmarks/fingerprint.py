"""What hashes and fingerprints of one input cost, beside the obvious way to make them.

Run it on a quiet machine, from the repository's root:

    PYTHONPATH=tests python -m benchmarks.fingerprint

Every case runs in one process, in blocks that are shuffled anew each round, and is measured in CPU time of the calling thread. The
obvious way hashes every piece under the key and keeps the smallest: it needs no second hash, and no thought.
"""

import argparse
import hashlib
import math
import random
import statistics
import struct
import sys
from collections.abc import Callable

from benchmarks.in_turns import measure
from spanward.config import Settings
from spanward.fingerprint import Form, Shingles, Windows
from spanward.hashing import Hasher

KEY = b"a key of the benchmark's"
HASHER = Hasher.of(Settings(hashing_key=KEY))
HMAC = Hasher.of(Settings(hashing_key=KEY, hashing_algorithm="hmac-sha256"))
WIDTH, STEP = 16, 0.5


def text_of(size: int, seed: int) -> str:
    """Return random words of two to nine letters."""
    rng = random.Random(seed)
    words = ("".join(rng.choices("abcdefghij", k=rng.randint(2, 9))) for _ in range(size))
    return " ".join(words)[:size]


def smallest(pieces: set[bytes], hashes: int) -> bytes:
    """Return the smallest keyed hashes of pieces."""
    return b"".join(sorted(hashlib.blake2b(piece, key=KEY, digest_size=8).digest() for piece in pieces)[:hashes])


def obvious_of_text(text: str, hashes: int) -> bytes:
    """Fingerprint a text by hashing every run of three words."""
    words = text.lower().encode().split()
    return smallest({b" ".join(words[at : at + 3]) for at in range(len(words) - 2)}, hashes)


def obvious_of_numbers(numbers: list[float], hashes: int) -> bytes:
    """Fingerprint a vector by hashing every window."""
    cells = [math.floor(number / STEP) for number in numbers]
    windows = (cells[at : at + WIDTH] for at in range(len(cells) - WIDTH + 1))
    return smallest({struct.pack(f"<{WIDTH}i", *window) for window in windows}, hashes)


def cases() -> dict[str, Callable[[], object]]:
    """Return what is compared; those by numpy only where it is installed."""
    text, longer = text_of(1024, 1), text_of(16_384, 2)
    rng = random.Random(3)
    row = [rng.gauss(0.0, 1.0) for _ in range(768)]
    words, numbers = Shingles(), Windows(WIDTH, (STEP,))

    def print_of(value: object, form: Form, hasher: Hasher = HASHER) -> Callable[[], object]:
        return lambda: hasher.fingerprint(value, "m", form)

    measured: dict[str, Callable[[], object]] = {
        "hash, 1 KB text": lambda: HASHER.hash(text, "m"),
        "hash, 1 KB text, HMAC-SHA256": lambda: HMAC.hash(text, "m"),
        "hash, list of 768 floats": lambda: HASHER.hash(row, "m"),
        "1 KB text": print_of(text, words),
        "1 KB text, 50 hashes": print_of(text, Shingles(hashes=50)),
        "1 KB text, HMAC-SHA256": print_of(text, words, HMAC),
        "1 KB text, the obvious way": lambda: obvious_of_text(text, words.hashes),
        "16 KB text": print_of(longer, words),
        "768 floats, list, the obvious way": lambda: obvious_of_numbers(row, numbers.hashes),
        "768 floats, list, no numpy": print_of(row, numbers),
    }
    return measured


def cases_by_numpy() -> dict[str, Callable[[], object]]:
    """Return what is compared where numpy is."""
    import numpy as np

    vector = np.random.default_rng(3).normal(size=768)
    image = np.random.default_rng(4).normal(size=(224, 224, 3)).astype("f4")
    row, narrow = vector.tolist(), vector.astype("f4")

    def print_of(value: object, hashes: int = 16) -> Callable[[], object]:
        form = Windows(WIDTH, (STEP,), hashes)
        return lambda: HASHER.fingerprint(value, "m", form)

    return {
        "hash, array of 768 float64": lambda: HASHER.hash(vector, "m"),
        "768 float64, array": print_of(vector),
        "768 float32, array": print_of(narrow),
        "768 float64, array, 50 hashes": print_of(vector, 50),
        "768 floats, list": print_of(row),
        "224x224x3 float32, array": print_of(image),
    }


def main() -> None:
    """Measure and print the table: first without numpy, then with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    assert "numpy" not in sys.modules
    times = measure(cases(), asked.rounds, asked.calls, asked.seed)
    times |= measure(cases_by_numpy(), asked.rounds, asked.calls, asked.seed)
    print(f"us of CPU per call, {asked.rounds} rounds of {asked.calls} calls, seed {asked.seed}\n")
    print(f"{'case':36} {'min':>8} {'median':>8} {'max':>8}")
    for name, taken in times.items():
        print(f"{name:36} {min(taken):8.1f} {statistics.median(taken):8.1f} {max(taken):8.1f}")


if __name__ == "__main__":
    main()
