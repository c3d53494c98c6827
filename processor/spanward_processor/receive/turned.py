"""Why a request is not taken, whichever protocol brought it: whose fault that is, and when the sender may come back."""

import logging
from dataclasses import dataclass
from typing import Final

from spanward_processor.decode import UndecodableError
from spanward_processor.forward.delivery import RefusedError
from spanward_processor.receive.admission import BusyError
from spanward_processor.receive.compression import CompressionError, TooLargeError
from spanward_processor.status import Code

_log = logging.getLogger(__name__)

BUSY_RETRY_S: Final = 1.0
BACKEND_RETRY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Turned:
    """Why a request is not taken.

    Args:
        code: gRPC status.
        message: In a sentence.
        retry_s: When it may come back, seconds; None when coming back is useless.
    """

    code: Code
    message: str
    retry_s: float | None = None


def turned_of(error: BaseException) -> Turned:
    """Return why a request was not taken; an error that nobody foresaw is logged, and the sender may come back."""
    message = str(error)
    if isinstance(error, UndecodableError | CompressionError):
        return Turned(Code.INVALID_ARGUMENT, message)
    if isinstance(error, TooLargeError):
        return Turned(Code.RESOURCE_EXHAUSTED, message)
    if isinstance(error, RefusedError) and error.for_good:
        return Turned(Code.INVALID_ARGUMENT, message)
    if isinstance(error, BusyError):
        return Turned(Code.UNAVAILABLE, message, BUSY_RETRY_S)
    if not isinstance(error, RefusedError):
        _log.error("request failed", exc_info=error)
        message = "the processor failed on this request; its log says more"
    return Turned(Code.UNAVAILABLE, message, BACKEND_RETRY_S)
