"""Slow, obvious twins of the kernels that read and write the protobuf wire format."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from spanward_processor.kernels.wire import BAD_GROUP, BAD_LENGTH, BAD_TAG, BAD_UTF8, BAD_VARINT

RESERVED = b"spanward.anomaly."

STRING = "string"
Schema = dict[int, "str | Callable[[], Schema]"]


class MalformedError(ValueError):
    """The bytes are no message; `code` is the error a kernel must answer with."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class Field(NamedTuple):
    """One field: where its tag, its length (or value) and its payload begin, and where it ends."""

    number: int
    wire: int
    tag_at: int
    length_at: int
    start: int
    end: int


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a varint and the position after it."""
    value = 0
    for index, byte in enumerate(data[at : min(end, at + 10)]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at + index + 1
    raise MalformedError(BAD_VARINT)


def tag(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return field number, wire type and the position after a tag."""
    value, after = varint(data, at, end)
    if not 8 <= value < 1 << 32 or after - at > 5:
        raise MalformedError(BAD_TAG)
    return value // 8, value % 8, after


def length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return start and end of a length-delimited payload."""
    size, start = varint(data, at, end)
    if start + size > end or start - at > 5:
        raise MalformedError(BAD_LENGTH)
    return start, start + size


def step(data: bytes, at: int, end: int, wire: int) -> int:
    """Return the position after a field whose tag was read."""
    if wire == 0:
        return varint(data, at, end)[1]
    if wire == 2:
        return length(data, at, end)[1]
    if wire in (3, 4):
        raise MalformedError(BAD_GROUP)
    if wire not in (1, 5):
        raise MalformedError(BAD_TAG)
    size = 8 if wire == 1 else 4
    if at + size > end:
        raise MalformedError(BAD_LENGTH)
    return at + size


def is_text(data: bytes) -> bool:
    """Return whether Python's own decoder takes the bytes for UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def text(data: bytes, at: int, end: int) -> int:
    """Return the position after a string field."""
    start, stop = length(data, at, end)
    if not is_text(data[start:stop]):
        raise MalformedError(BAD_UTF8)
    return stop


def fields(data: bytes, at: int, end: int) -> Iterator[Field]:
    """Yield the fields of a message."""
    while at < end:
        number, wire, length_at = tag(data, at, end)
        stop = step(data, length_at, end, wire)
        start = length(data, length_at, end)[0] if wire == 2 else length_at
        yield Field(number, wire, at, length_at, start, stop)
        at = stop


def _any_value() -> Schema:
    return {1: STRING, 5: lambda: {1: _any_value}, 6: lambda: {1: key_value}}


def key_value() -> Schema:
    """Return the strings and messages of common.v1.KeyValue."""
    return {1: STRING, 2: _any_value}


def _span() -> Schema:
    return {
        **dict.fromkeys((3, 5), STRING),
        9: key_value,
        11: lambda: SCHEMAS["Event"],
        13: lambda: SCHEMAS["Link"],
        15: lambda: SCHEMAS["Status"],
    }


def _scope_spans() -> Schema:
    return {1: lambda: SCHEMAS["InstrumentationScope"], 2: _span, 3: STRING}


def _resource_spans() -> Schema:
    return {1: lambda: SCHEMAS["Resource"], 2: _scope_spans, 3: STRING}


SCHEMAS: Mapping[str, Schema] = {
    "KeyValue": key_value(),
    "AnyValue": _any_value(),
    "ArrayValue": {1: _any_value},
    "KeyValueList": {1: key_value},
    "Event": {2: STRING, 3: key_value},
    "Link": {3: STRING, 4: key_value},
    "Status": {2: STRING},
    "EntityRef": dict.fromkeys((1, 2, 3, 4), STRING),
    "InstrumentationScope": {1: STRING, 2: STRING, 3: key_value},
    "Resource": {1: key_value, 3: lambda: dict.fromkeys((1, 2, 3, 4), STRING)},
    "ExportTraceServiceRequest": {1: _resource_spans},
}
"""What of each message is a string or a message; every other field is only stepped over."""

SPAN: Schema = {
    3: STRING,
    5: STRING,
    9: key_value,
    11: lambda: SCHEMAS["Event"],
    13: lambda: SCHEMAS["Link"],
    15: lambda: SCHEMAS["Status"],
}


def check(data: bytes, at: int, end: int, schema: Schema) -> int:
    """Return `end` when the message is well formed, by recursion."""
    while at < end:
        number, wire, at = tag(data, at, end)
        kind = schema.get(number) if wire == 2 else None
        if kind is None:
            at = step(data, at, end, wire)
        elif isinstance(kind, str):
            at = text(data, at, end)
        else:
            start, stop = length(data, at, end)
            at = check(data, start, stop, kind())
    return end


def depth(data: bytes, at: int, end: int, schema: Schema) -> int:
    """Return how deep the messages of a well-formed message are nested, itself included."""
    below = 0
    for field in fields(data, at, end):
        kind = schema.get(field.number) if field.wire == 2 else None
        if callable(kind):
            below = max(below, depth(data, field.start, field.end, kind()))
    return 1 + below


def answer(read: Callable[[], int]) -> int:
    """Return what a twin returns, or the error it raises as the kernels' negative number."""
    try:
        return read()
    except MalformedError as error:
        return error.code


def answers(
    read: Callable[[], tuple[int, ...]], before: tuple[int, ...], after: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """Return what a twin returns, or the error it raises, as a negative number among zeros as the kernels do."""
    try:
        return read()
    except MalformedError as error:
        return (*before, error.code, *after)


Frame = tuple[int, int, int, int, int]  # tag, length, start, end, parent


def frames(request: bytes) -> tuple[list[Frame], list[Frame], list[Frame]]:
    """Return where every resource, scope and span of a well-formed request lies."""
    found: tuple[list[Frame], list[Frame], list[Frame]] = ([], [], [])

    def look(level: int, at: int, end: int, parent: int) -> None:
        for field in fields(request, at, end):
            if field.wire == 2 and field.number == (1, 2, 2)[level]:
                found[level].append((field.tag_at, field.length_at, field.start, field.end, parent))
                if level < 2:
                    look(level + 1, field.start, field.end, len(found[level]) - 1)

    look(0, 0, len(request), -1)
    return found


def reserved(request: bytes) -> list[tuple[int, int, int]]:
    """Return (span, first byte, one past the last) of every span attribute under the processor's own prefix."""
    return _reserved(request, frames(request)[2])


def _reserved(request: bytes, spans: list[Frame]) -> list[tuple[int, int, int]]:
    return [
        (row, field.tag_at, field.end)
        for row, (_, _, start, end, _) in enumerate(spans)
        for field in fields(request, start, end)
        if field.number == 9 and field.wire == 2 and _key(request, field).startswith(RESERVED)
    ]


def longest_value(data: bytes, at: int, end: int, schema: Schema | None = None) -> int:
    """Return the bytes of the longest text, bytes value or unknown field of a span, by recursion."""
    schema = SPAN if schema is None else schema
    sizes = [0]
    for field in fields(data, at, end):
        if field.wire == 2:
            kind = schema.get(field.number, STRING)
            if isinstance(kind, str):
                sizes.append(field.end - field.start)
            else:
                sizes.append(longest_value(data, field.start, field.end, kind()))
    return max(sizes)


def excess(request: bytes, most_attributes: int, most_bytes: int) -> list[tuple[int, int]]:
    """Return for each span 1 and its attributes, 2 and its longest value, or zeros, by what it is over."""
    found: list[tuple[int, int]] = []
    for _, _, start, end, _ in frames(request)[2]:
        attributes = sum(field.number == 9 and field.wire == 2 for field in fields(request, start, end))
        longest = longest_value(request, start, end)
        over = (1, attributes) if attributes > most_attributes else (2, longest) if longest > most_bytes else (0, 0)
        found.append(over)
    return found


def pruned(request: bytes, dropped: Mapping[int, bool]) -> bytes:
    """Rebuild a request without some spans, and without attributes of ours on resources and scopes.

    Scopes and resources all of whose spans went go too.
    """
    spans = {frame[0]: row for row, frame in enumerate(frames(request)[2])}

    def inside(envelope: bytes, attribute: int) -> bytes:
        return b"".join(
            envelope[field.tag_at : field.end]
            for field in fields(envelope, 0, len(envelope))
            if not (field.number == attribute and field.wire == 2 and _key(envelope, field).startswith(RESERVED))
        )

    def rebuild(level: int, at: int, end: int) -> tuple[bytes, int, int]:
        out, here, kept = b"", 0, 0
        for field in fields(request, at, end):
            whole, payload = request[field.tag_at : field.end], request[field.start : field.end]
            if field.wire == 2 and field.number == (1, 2, 2)[level]:
                new, found, left = rebuild(level + 1, field.start, field.end) if level < 2 else (payload, 1, 1)
                if level == 2 and dropped.get(spans[field.tag_at], False):
                    left = 0
                here, kept = here + found, kept + left
                if found and not left:
                    continue
            elif field.wire == 2 and level > 0 and field.number == 1:
                new = inside(payload, 1 if level == 1 else 3)
            else:
                new = payload
            if new != payload:
                whole = request[field.tag_at : field.length_at] + encoded_varint(len(new)) + new
            out += whole
        return out, here, kept

    return rebuild(0, 0, len(request))[0]


def _key(request: bytes, attribute: Field) -> bytes:
    keys = [f for f in fields(request, attribute.start, attribute.end) if f.number == 1 and f.wire == 2]
    return request[keys[-1].start : keys[-1].end] if keys else b""


def encoded_varint(value: int) -> bytes:
    """Return the shortest varint."""
    head = bytes([value & 0x7F | (0x80 if value >= 0x80 else 0)])
    return head + encoded_varint(value >> 7) if value >= 0x80 else head


def spliced(request: bytes, notes: Mapping[int, bytes]) -> bytes:
    """Rebuild a request message by message: notes at the end of their spans, attributes of ours left out.

    Only frames in which something changed get a new length; every other byte is copied.
    """
    located = frames(request)[2]
    left_out = {(first, last) for _, first, last in _reserved(request, located)}
    spans = {frame[0]: row for row, frame in enumerate(located)}

    def rebuild(level: int, at: int, end: int) -> bytes:
        out = b""
        for field in fields(request, at, end):
            whole = request[field.tag_at : field.end]
            if level == 3:
                out += b"" if (field.tag_at, field.end) in left_out else whole
                continue
            if field.wire == 2 and field.number == (1, 2, 2)[level]:
                inside = rebuild(level + 1, field.start, field.end)
                if level == 2:
                    inside += notes.get(spans[field.tag_at], b"")
                if inside != request[field.start : field.end]:
                    whole = request[field.tag_at : field.length_at] + encoded_varint(len(inside)) + inside
            out += whole
        return out

    return rebuild(0, 0, len(request))
