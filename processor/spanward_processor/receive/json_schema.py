"""What the JSON kernels know about OTLP's messages, taken from the official descriptors.

Source: opentelemetry-proto 1.x; OpenTelemetry Protocol specification, "JSON Protobuf Encoding".
"""

from typing import Final

import numpy as np
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from spanward_processor.kernels.json_tape import (
    BIT,
    CHILD,
    CHOICE,
    IDENTITY,
    KIND,
    LONGEST_NAME,
    MESSAGE,
    PACKED,
    PRESENCE,
    REPEATED,
    TAG,
    Schema,
)

_HEX_FIELDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_COLUMNS: Final = 8
_MOST_FIELDS: Final = 63  # of a message: one bit each
_LENGTH_DELIMITED: Final = 2
_WIRES: Final = {
    FieldDescriptor.TYPE_DOUBLE: 1,
    FieldDescriptor.TYPE_FIXED64: 1,
    FieldDescriptor.TYPE_SFIXED64: 1,
    FieldDescriptor.TYPE_FIXED32: 5,
    FieldDescriptor.TYPE_SFIXED32: 5,
    FieldDescriptor.TYPE_STRING: _LENGTH_DELIMITED,
    FieldDescriptor.TYPE_BYTES: _LENGTH_DELIMITED,
    FieldDescriptor.TYPE_MESSAGE: _LENGTH_DELIMITED,
}


def schema_of(request: Descriptor) -> Schema:
    """Return the tables of a request and of everything in it; field 0 stands for the request itself.

    Args:
        request: The message that a whole document describes.
    """
    tables = _Tables()
    tables.fields.append([0, MESSAGE, tables.row_of(request), 0, -1, 0, 0, 1])
    tables.read_all()
    return Schema(
        np.array(tables.fields, np.int64),
        np.array(tables.first, np.int64),
        np.array(tables.names, np.uint64),
        np.array(tables.values, np.int64),
    )


class _Tables:
    """The tables while they grow; messages are read in the order in which they were first met."""

    def __init__(self) -> None:
        self.fields: list[list[int]] = []
        self.first: list[list[int]] = []
        self.names: list[list[int]] = []
        self.values: list[tuple[int, int]] = []
        self._met: list[Descriptor | EnumDescriptor] = []

    def row_of(self, kind: Descriptor | EnumDescriptor) -> int:
        """Return the row of a message or enumeration."""
        if kind not in self._met:
            self._met.append(kind)
            self.first.append([-1] * (LONGEST_NAME + 1))
        return self._met.index(kind)

    def read_all(self) -> None:
        """Read every message met, and those met while reading."""
        for row, kind in enumerate(self._met):  # grows while it is walked
            if isinstance(kind, EnumDescriptor):
                for value in kind.values:
                    self._name(row, value.name, value.number)
                continue
            if len(kind.fields) > _MOST_FIELDS:
                raise ValueError(f"{kind.full_name}: must have at most {_MOST_FIELDS} fields, got {len(kind.fields)}")
            for bit, field in enumerate(kind.fields):
                self._field(row, bit, field)

    def _field(self, row: int, bit: int, field: FieldDescriptor) -> None:
        kind = field.type
        if kind in {FieldDescriptor.TYPE_GROUP, FieldDescriptor.TYPE_FLOAT}:
            raise ValueError(f"{field.full_name}: must be no group and no float, which OTLP does not have")
        packed = field.is_packed
        wire = _LENGTH_DELIMITED if packed else _WIRES.get(kind, 0)
        entry = [0] * _COLUMNS
        entry[TAG] = field.number << 3 | wire
        entry[KIND] = IDENTITY if field.name in _HEX_FIELDS and kind == FieldDescriptor.TYPE_BYTES else kind
        entry[CHILD] = self._child(field)
        entry[BIT] = bit
        entry[CHOICE] = -1 if field.containing_oneof is None else field.containing_oneof.index
        entry[REPEATED] = int(field.is_repeated)
        entry[PACKED] = int(packed)
        entry[PRESENCE] = int(field.has_presence)
        for name in {field.json_name, field.name}:
            self._name(row, name, len(self.fields))
        self.fields.append(entry)

    def _child(self, field: FieldDescriptor) -> int:
        if field.message_type is not None:
            return self.row_of(field.message_type)
        return -1 if field.enum_type is None else self.row_of(field.enum_type)

    def _name(self, row: int, name: str, value: int) -> None:
        text = name.encode()
        if len(text) > LONGEST_NAME:
            raise ValueError(f"{name}: must have at most {LONGEST_NAME} characters")
        words = np.frombuffer(text.ljust(LONGEST_NAME, b"\0"), "<u8")
        self.values.append((value, self.first[row][len(text)]))
        self.first[row][len(text)] = len(self.names)
        self.names.append([int(word) for word in words])
