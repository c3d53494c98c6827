"""OTLP JSON documents: random ones made after the official descriptors, and the slow obvious reader of them."""

import base64
import json
import math
import re
import struct
from decimal import Decimal, InvalidOperation, localcontext
from random import Random
from typing import Any, NoReturn, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanward_processor.signals import Signal

REQUESTS: dict[Signal, type[Message]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
_IDS = {"traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id"}
_LONE = re.compile("[\ud800-\udfff]")
_RANGES = {
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
}


def slow_reader(signal: Signal, document: bytes) -> Message:
    """Return what a document says, by the general ProtoJSON parser with OTLP's hex ids made base64.

    Raises:
        TypeError: It is no object. Other errors come from the parsers.
    """
    tree = json.loads(document.decode(), parse_constant=_refuse, parse_float=_exact, parse_int=_exact)
    if not isinstance(tree, dict):
        raise TypeError("must be an object")
    request = REQUESTS[signal]()
    _check_objects(cast("dict[str, Any]", tree), cast("Descriptor", request.DESCRIPTOR))
    ParseDict(_as_general(tree), request, ignore_unknown_fields=True)
    return request


def _check_objects(tree: dict[str, Any], kind: Descriptor) -> None:
    """Refuse texts and lists in the place of objects, whose characters and elements ParseDict takes for unknown names."""
    for field in kind.fields:
        inner = field.message_type
        for name in {field.json_name, field.name} if inner else ():
            value: Any = tree.get(name)
            for each in _elements(value) if field.is_repeated else [value]:
                if isinstance(each, dict):
                    _check_objects(cast("dict[str, Any]", each), cast("Descriptor", inner))
                elif each is not None:
                    raise TypeError(f"{name}: must be an object")


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _exact(text: str) -> float | int:
    """Return a number; an integer written with a point or an exponent keeps all its digits, and -0 its sign."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return float(text)  # its exponent is beyond decimals, too
    whole = value != 0 and abs(value.adjusted()) < 400 and value == value.to_integral_value()
    return int(value) if whole else float(text)


def _as_general(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_general(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if not isinstance(value, dict):
        return value
    return {
        _LONE.sub("\ufffd", key): _general_id(item) if key in _IDS and isinstance(item, str) else _as_general(item)
        for key, item in cast("dict[str, Any]", value).items()
        if not key.startswith("[")  # an extension's name in general ProtoJSON, an unknown field in OTLP's
        and "\0" not in key  # where the general parser takes a name for ended
    }


def _general_id(text: str) -> str:
    """Return an id in base64; where it is none it must stand in an unknown field, or our reader would have refused it."""
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        return text


def random_document(rng: Random, signal: Signal) -> bytes:
    """Return a valid document in which everything that the mapping allows may occur."""
    return _message(rng, cast("Descriptor", REQUESTS[signal].DESCRIPTOR), 0).encode("utf-8", "surrogatepass")


def _space(rng: Random) -> str:
    return rng.choice(["", "", "", " ", "\n\t", "\r "])


def _message(rng: Random, kind: Descriptor, depth: int) -> str:
    members: list[str] = []
    chosen: set[str] = set()
    for field in rng.sample(list(kind.fields), rng.randint(0, len(kind.fields))):
        group = field.containing_oneof.name if field.containing_oneof else ""
        value = _field(rng, field, depth) if rng.random() < 0.9 and not (group and group in chosen) else "null"
        if group and value != "null":
            chosen.add(group)
        if field.message_type and depth > 9 and value != "null":
            value = "[]" if field.is_repeated else "{}"
        name = _name(rng, rng.choice([field.json_name, field.name]))
        if rng.random() < 0.05:
            members.append(f"{name}{_space(rng)}:{_field(rng, field, 20)}")  # an equal name before the one that counts
        members.append(f"{name}{_space(rng)}:{_space(rng)}{value}")
    if rng.random() < 0.2:
        members.insert(
            rng.randint(0, len(members)), f"{_name(rng, rng.choice(['x', 'newField', '', 'é']))}:{_unknown(rng, 0)}"
        )
    return "{" + _space(rng) + f"{_space(rng)},{_space(rng)}".join(members) + "}"


def _name(rng: Random, name: str) -> str:
    if name and rng.random() < 0.05:
        at = rng.randrange(len(name))
        return f'"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"'
    return json.dumps(name)


def _unknown(rng: Random, depth: int) -> str:
    kinds = ["null", "true", "-1.5e3", '"text\\n"', "{}", "[]"]
    if depth > 3:
        return rng.choice(kinds)
    items = [_unknown(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return rng.choice(
        [*kinds, f"[{','.join(items)}]", "{" + ",".join(f'"k{at}" : {v}' for at, v in enumerate(items)) + "}"]
    )


def _field(rng: Random, field: FieldDescriptor, depth: int) -> str:
    if field.is_repeated:
        count = 0 if depth > 9 else rng.choice([0, 1, 1, 2])
        return "[" + f"{_space(rng)},".join(_single(rng, field, depth) for _ in range(count)) + _space(rng) + "]"
    return _single(rng, field, depth)


def _single(rng: Random, field: FieldDescriptor, depth: int) -> str:
    if field.message_type:
        return "{}" if depth > 9 else _message(rng, field.message_type, depth + 1)
    if field.enum_type:
        value = rng.choice(list(field.enum_type.values))
        return rng.choice([str(value.number), json.dumps(value.name), '"NO_SUCH_NAME"', "77", "-1"])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.choice(["true", "false"])
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return random_double(rng)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(rng, field)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(rng)
    low, high = _RANGES[field.type]
    number = rng.choice([0, low, high, rng.randint(low, high), rng.randint(0, 200)])
    shapes = [str(number), f'"{number}"', f"{number}.0"]
    if number and abs(number) < 10**17:
        shapes += [f"{number}e0", f"{number}00e-2", f"{number}.00E+0"]
    return rng.choice(shapes)


def random_double(rng: Random) -> str:
    """Return a double as JSON: usual, long, tiny, huge, halfway, quoted, or one of the three words."""
    (any_bits,) = struct.unpack("<d", rng.randbytes(8))
    usual = [repr(rng.random()), f"{rng.uniform(-1e6, 1e6):.3f}", str(rng.randint(-1000, 1000)), f"{rng.random():.17e}"]
    odd = [
        "0",
        "-0.0",
        "-0",
        "5e-324",
        "2.2250738585072011e-308",
        "1.7976931348623157E+308",
        "9007199254740993",
        "1e23",
    ]
    long = [
        f"{rng.getrandbits(200)}",
        f"0.{rng.getrandbits(150):050d}",
        f"{rng.getrandbits(63)}e{rng.randint(-330, 285)}",
    ]
    odd += [
        f"{rng.getrandbits(53)}e-{rng.randint(320, 345)}",
        f"{rng.random():.16f}e-30{rng.randint(6, 9)}",
        "2e-324",
        "1e-400",
    ]
    below = rng.random()
    with localcontext() as context:
        context.prec = 200  # exact
        middle = (Decimal(below) + Decimal(math.nextafter(below, 2.0))) / 2  # exactly between two doubles
    odd += [f"{middle:f}", f"{middle:f}1", f"{middle:f}"[:-1], "2.4703282292062327208e-324", "1.7976931348623158e308"]
    drawn = [repr(any_bits)] if any_bits - any_bits == 0 else []
    text = rng.choice(usual + odd + long + drawn)
    return rng.choice([text, text, f'"{text}"', '"NaN"', '"Infinity"', '"-Infinity"'])


def _bytes(rng: Random, field: FieldDescriptor) -> str:
    content = rng.randbytes(rng.choice([0, 1, 2, 3, 8, 16, 31]))
    if field.name in {"trace_id", "span_id", "parent_span_id"}:
        return json.dumps(rng.choice([content.hex(), content.hex().upper()]))
    text = rng.choice([base64.b64encode, base64.urlsafe_b64encode])(content).decode()
    text = rng.choice([text, text.rstrip("=")])
    return '"' + (text.replace("/", "\\/") if rng.random() < 0.3 else text) + '"'


def _text(rng: Random) -> str:
    alphabet = [
        "a",
        "bc",
        "0123456789abcdef",
        " ",
        '"',
        "\\",
        "/",
        "\n",
        "\x00",
        "\x7f",
        "é",
        "漢",
        "😀",
        "\ud83d",
        "\ude00",
    ]
    text = "".join(rng.choices(alphabet, k=rng.choice([0, 1, 3, 8, 30])))
    if rng.random() < 0.5:
        return json.dumps(text)
    return json.dumps(_LONE.sub("?", text), ensure_ascii=False)
