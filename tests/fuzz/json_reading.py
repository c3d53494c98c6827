"""The JSON reader: the same message as the general ProtoJSON parser, or refused by both."""

import json
from collections.abc import Iterator
from copy import copy
from random import Random
from typing import Any, Final, cast

from google.protobuf.json_format import ParseError
from google.protobuf.message import Message

from fuzz.damage import damaged
from fuzz.target import Target, choices_of
from json_documents import REQUESTS, random_document, slow_reader
from spanward_processor.decode import UndecodableError
from spanward_processor.receive.otlp_json import to_protobuf
from spanward_processor.signals import Signal

_STRICTER: Final = (
    "nested at most",  # the general parser's depth is Python's
    "an id must be pairs",  # it takes base64, which many a damaged id is by chance
)
_SIGNALS: Final = tuple(Signal)
_LONGEST: Final = 2000  # characters of a fresh document; most are far shorter
_TOKENS: Final = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b"e5", b".5", b"null", b"true", b"{}", b"[]", b'""'),
    *(b'"a"', b"1e400", b"-0", b"1e-400", b"\\u0000", b"\\ud83d", b"\xed\xa0\x80", b"\xef\xbb\xbf", b" ", b"NaN"),
)


def check(data: bytes) -> bool:
    """Read a document as one of the three requests, beside the general parser."""
    signal = choices_of(data).choice(_SIGNALS)
    expected = _by_general_parser(signal, data)
    try:
        encoded = to_protobuf(signal, data)
    except UndecodableError as error:
        assert expected is None or any(rule in str(error) for rule in _STRICTER), str(error)
        return False
    assert expected is not None
    parsed = REQUESTS[signal].FromString(encoded)
    assert parsed.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
    return True


def _by_general_parser(signal: Signal, data: bytes) -> Message | None:
    try:
        return slow_reader(signal, data)
    except (ParseError, ValueError, TypeError, RecursionError):
        return None


def _fresh(rng: Random) -> bytes:
    while len(document := random_document(rng, rng.choice(_SIGNALS))) > _LONGEST:
        pass
    return document


def _mutated(data: bytes, rng: Random) -> bytes:
    """Return a document with subtrees exchanged, tokens put in, or bytes damaged."""
    if rng.random() < 0.5:
        try:
            tree: Any = json.loads(data)
        except (ValueError, RecursionError):
            return damaged(data, rng)
        return json.dumps(_exchanged(tree, json.loads(_fresh(rng)), rng), ensure_ascii=rng.random() < 0.5).encode(
            "utf-8", "surrogatepass"
        )
    changed = bytearray(data)
    for _ in range(rng.randint(0, 3)):
        at = rng.randint(0, len(changed))
        changed[at : at + rng.choice((0, 0, 1, 3))] = rng.choice(_TOKENS)
    return damaged(bytes(changed), rng, 2) if rng.random() < 0.3 else bytes(changed)


def _exchanged(tree: Any, other: Any, rng: Random) -> Any:
    """Return a tree with one subtree in the place of another."""
    places = _places(tree)
    if not places or rng.random() < 0.1:
        return rng.choice(list(_subtrees(other)))
    place = rng.choice(places)
    tree[place] = _exchanged(tree[place], other, rng)
    return tree


def _places(tree: Any) -> list[Any]:
    """Return the names or positions in an object or a list; none in anything else."""
    if isinstance(tree, dict):
        return list(cast("dict[str, Any]", tree))
    return list(range(len(tree))) if isinstance(tree, list) else []  # pyright: ignore[reportUnknownArgumentType]


def _subtrees(tree: Any) -> Iterator[Any]:
    yield tree
    for place in _places(tree):
        yield from _subtrees(tree[place])


def _smaller(data: bytes) -> Iterator[bytes]:
    """Yield the document without each of its members and elements."""
    try:
        tree: Any = json.loads(data)
    except (ValueError, RecursionError):
        return
    for less in _without_one(tree):
        yield json.dumps(less).encode()


def _without_one(tree: Any) -> Iterator[Any]:
    for place in _places(tree):
        less = copy(tree)
        del less[place]
        yield less
        for below in _without_one(tree[place]):
            less = copy(tree)
            less[place] = below
            yield less


JSON_READING: Final = Target("json_reading", _fresh, _mutated, check, _smaller)
