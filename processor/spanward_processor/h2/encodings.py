"""Compressed replies. gRPC for Go answers in the encoding of the request, whether the client said it can read it or not."""

import zlib
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

Decoder: TypeAlias = Callable[[bytes, int], bytes]  # of a message, and the most bytes it may become
_GZIP: Final = 31  # zlib's window bits for a gzip header and trailer


class TooLongError(ValueError):
    """A message becomes longer than it may."""


def gunzip(data: bytes, most: int) -> bytes:
    """Return what a gzip message was before.

    Args:
        data: The compressed message.
        most: Most bytes it may become; not more than that is ever held.

    Raises:
        TooLongError: It becomes longer.
        ValueError: It is no gzip, or not whole.
    """
    inflating = zlib.decompressobj(_GZIP)
    try:
        message = inflating.decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(f"not gzip: {error}") from None
    if len(message) > most:
        raise TooLongError(f"message is longer than the limit of {most} bytes when decompressed")
    if not inflating.eof:
        raise ValueError("gzip is not whole")
    return message


GZIP: Final[Mapping[str, Decoder]] = {"gzip": gunzip}
