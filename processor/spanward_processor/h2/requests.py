"""What makes a header block a gRPC request, and how one that is none is answered.

Source: RFC 9113, section 8.3.1; gRPC documentation, "gRPC over HTTP2".
"""

from typing import Final

from spanward_processor.h2.grpc import CONTENT_TYPE
from spanward_processor.h2.headers import Fields

_PSEUDO: Final = frozenset({":method", ":scheme", ":path", ":authority"})
_MUST: Final = (":method", ":scheme", ":path")


def malformed(fields: Fields) -> str:
    """Return the rule of HTTP/2 that a request's header block breaks; empty when it keeps them all."""
    if fields.fault:
        return fields.fault
    if not fields.pseudo.keys() <= _PSEUDO:
        return "request has a pseudo-header that is not for requests"
    for name in _MUST:
        if not fields.pseudo.get(name):
            return f"request has no {name}"
    length = fields.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        return f"content-length must be a number, got {length[:32]!r}"
    return ""


def not_grpc(fields: Fields) -> str:
    """Return the HTTP status for a well-formed request that is not a gRPC call; empty when it is one."""
    if fields.pseudo[":method"] != "POST":
        return "405"
    kind = fields.headers.get("content-type", "")
    if not kind.startswith(CONTENT_TYPE) or kind[len(CONTENT_TYPE) :][:1] not in ("", "+", ";"):
        return "415"
    return ""
