"""Answers over HTTP to requests that fail: which status, what is said, and whether the sender shall come back.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/HTTP Response"; google.rpc.Status.
"""

import logging
from collections.abc import Sequence
from typing import Final

from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from spanward_processor.decode import UndecodableError
from spanward_processor.dora.announcements import AnnouncementError
from spanward_processor.forward.delivery import RefusedError
from spanward_processor.receive.admission import BusyError
from spanward_processor.receive.body import SlowError
from spanward_processor.receive.compression import CompressionError, TooLargeError
from spanward_processor.receive.grpc import BACKEND_RETRY_S, BUSY_RETRY_S
from spanward_processor.status import Code, encoded

_log = logging.getLogger(__name__)

_CODES: Final = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    431: Code.RESOURCE_EXHAUSTED,
    503: Code.UNAVAILABLE,
}


class Failure(Exception):  # noqa: N818 - an answer
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        message: What is wrong, in a sentence.
        retry_s: When the sender shall come back, seconds; None says nothing about it.
        headers: Further headers of the answer.
        violations: What is wrong in the body, by field; its message where it is a single mistake.
    """

    def __init__(
        self,
        status: int,
        message: str,
        retry_s: float | None = None,
        headers: Sequence[tuple[str, str]] = (),
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.status = status
        self.message = message
        self.retry_s = retry_s
        self.headers = headers
        self.violations = violations or (("body", message),)
        super().__init__(message)


def come_back(message: str, delay_s: float) -> Failure:
    """Return the failure that asks a sender to come back after a while, seconds."""
    return Failure(503, message, delay_s)


def failure_of(error: Exception) -> Failure:
    """Return how a sender is told of an error; one that nobody foresaw is logged, and it may come back."""
    message = str(error)
    if isinstance(error, Failure):
        return error
    if isinstance(error, AnnouncementError):
        return Failure(400, message, violations=error.errors)
    if isinstance(error, UndecodableError | CompressionError):
        return Failure(400, message)
    if isinstance(error, RefusedError) and error.for_good:
        return Failure(400, message)
    if isinstance(error, SlowError):
        return Failure(408, message)
    if isinstance(error, TooLargeError):
        return Failure(413, message)
    if isinstance(error, BusyError):
        return come_back(message, BUSY_RETRY_S)
    if isinstance(error, RefusedError):
        return come_back(message, BACKEND_RETRY_S)
    _log.error("request failed", exc_info=error)
    return come_back("the processor failed on this request; its log says more", BACKEND_RETRY_S)


def status_of(failure: Failure) -> Status:
    """Return the body of an answer, as OTLP has it; one to bad data says which fields are wrong."""
    status = Status.FromString(encoded(_CODES[failure.status], failure.message, failure.retry_s))
    if failure.status == 400:
        wrong = [BadRequest.FieldViolation(field=field, description=rule) for field, rule in failure.violations]
        status.details.add().Pack(BadRequest(field_violations=wrong))
    return status
