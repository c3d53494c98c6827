"""Small ONNX models, written byte by byte: a linear layer with softmax or without, one that adds two inputs, a classifier.

Source: onnx.proto of ONNX 1.17, messages ModelProto, GraphProto, NodeProto, TensorProto, AttributeProto and ValueInfoProto.
"""

import struct
from collections.abc import Sequence

FLOAT, INT64 = 1, 7  # TensorProto.DataType
_INT_ATTRIBUTE = 2  # AttributeProto.AttributeType


def message(number: int, content: bytes) -> bytes:
    """Return a field that has a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def text(number: int, value: str) -> bytes:
    """Return a text field."""
    return message(number, value.encode())


def integer(number: int, value: int) -> bytes:
    """Return an integer field."""
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    """Return a number in groups of seven bits."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def tensor(name: str, shape: Sequence[int], numbers: Sequence[float]) -> bytes:
    """Return a TensorProto of floats."""
    raw = struct.pack(f"<{len(numbers)}f", *numbers)
    return b"".join(integer(1, length) for length in shape) + integer(2, FLOAT) + text(8, name) + message(9, raw)


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    """Return a NodeProto; attributes are integers."""
    made = b"".join(text(1, name) for name in inputs) + text(2, output) + text(4, kind)
    for name, value in attributes.items():
        made += message(5, text(1, name) + integer(3, value) + integer(20, _INT_ATTRIBUTE))
    return made


def value(name: str, columns: int | None, kind: int = FLOAT) -> bytes:
    """Return a ValueInfoProto of rows of so many columns, of as many rows as come; None is a vector."""
    dimensions = message(1, text(2, "rows")) + (message(1, integer(1, columns)) if columns is not None else b"")
    return text(1, name) + message(2, message(1, integer(1, kind) + message(2, dimensions)))


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    constants: Sequence[bytes] = (),
    *,
    name: str = "router",
    version: int | None = 7,
) -> bytes:
    """Return a ModelProto.

    Args:
        nodes: What is computed.
        inputs: What it takes.
        outputs: What it gives.
        constants: Weights.
        name: Of the graph.
        version: Of the model; None leaves the field out.
    """
    graph = b"".join(message(1, one) for one in nodes) + text(2, name)
    graph += b"".join(message(5, one) for one in constants)
    graph += b"".join(message(11, one) for one in inputs) + b"".join(message(12, one) for one in outputs)
    told = integer(5, version) if version is not None else b""
    return integer(1, 8) + told + message(7, graph) + message(8, text(1, "") + integer(2, 17))


WEIGHTS = [0.0, 1.0, 2.0, 0.5, 0.0, -1.0]
"""Of the linear layer: two inputs, three classes."""


def softmax_model(*, name: str = "router", version: int | None = 7) -> bytes:
    """Return a linear layer with softmax: `x` of two numbers to the output `scores` of three classes."""
    nodes = [node("MatMul", ["x", "w"], "z"), node("Softmax", ["z"], "scores", axis=1)]
    return model(
        nodes, [value("x", 2)], [value("scores", 3)], [tensor("w", (2, 3), WEIGHTS)], name=name, version=version
    )


def logits_model() -> bytes:
    """Return the linear layer alone, whose output is called `logits`."""
    return model(
        [node("MatMul", ["x", "w"], "logits")], [value("x", 2)], [value("logits", 3)], [tensor("w", (2, 3), WEIGHTS)]
    )


def adding_model() -> bytes:
    """Return a model of two inputs."""
    return model([node("Add", ["a", "b"], "sum")], [value("a", 2), value("b", 2)], [value("sum", 2)])


def classifying_model() -> bytes:
    """Return a model with the outputs of a converted classifier: `label` and `probabilities`."""
    nodes = [
        node("MatMul", ["x", "w"], "z"),
        node("Softmax", ["z"], "probabilities", axis=1),
        node("ArgMax", ["z"], "label", axis=1, keepdims=0),
    ]
    return model(
        nodes,
        [value("x", 2)],
        [value("label", None, INT64), value("probabilities", 3)],
        [tensor("w", (2, 3), WEIGHTS)],
    )
