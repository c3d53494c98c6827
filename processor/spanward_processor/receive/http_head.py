"""What stands before the body of an HTTP request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from starlette.types import Scope

from spanward_processor.receive.http_failures import Failure

_ENCODINGS: Final = ("gzip", "deflate", "zstd")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request.

    Args:
        method: The method.
        path: The path.
        peer: Address of the sender; empty where it is not known.
        headers: Header name, in lower case, to value.
        size_bytes: Of all names and values together.
        content_type: Media type of the body, in lower case, without parameters.
    """

    method: str
    path: str
    peer: str
    headers: Mapping[str, str]
    size_bytes: int
    content_type: str

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Read the head of a request that ASGI tells of."""
        raw: list[tuple[bytes, bytes]] = scope["headers"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
        return cls(
            method=scope["method"],
            path=scope["path"],
            peer=scope["client"][0] if scope["client"] else "",
            headers=headers,
            size_bytes=sum(len(name) + len(value) for name, value in raw),
            content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
        )

    @property
    def body_bytes(self) -> int:
        """The length that a request says its body has, 0 when it does not say; the server has checked the digits."""
        return int(self.headers.get("content-length", "0"))

    @property
    def is_chunked(self) -> bool:
        """Whether only the end of the body will tell its length."""
        return "transfer-encoding" in self.headers

    def encoding(self) -> str:
        """Return how the body is packed; empty or `identity` where it is not.

        Raises:
            Failure: In a way that nobody here understands.
        """
        encoding = (
            self.headers.get("content-encoding", "").strip().lower().removeprefix("x-")
        )  # x-gzip is gzip, RFC 9110
        if encoding not in {"", "identity", *_ENCODINGS}:
            known = ", ".join(_ENCODINGS)
            raise Failure(
                415,
                f"content-encoding: must be one of identity, {known}, got {encoding[:40]!r}",
                headers=[("accept-encoding", known)],
            )
        return encoding
