"""Answers over HTTP to requests that fail: which status, what is said, and whether the sender shall come back.

Source: OpenTelemetry Protocol specification 1.x, "OTLP/HTTP Response"; google.rpc.Status.
"""

from collections.abc import Sequence
from typing import Final

from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from spanward_processor.dora.announcements import AnnouncementError
from spanward_processor.receive.body import SlowError
from spanward_processor.receive.turned import Turned, turned_of
from spanward_processor.status import Code, encoded

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
_STATUSES: Final = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.RESOURCE_EXHAUSTED: 413,
    Code.UNAVAILABLE: 503,
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
    """Return how a sender is told of an error."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, AnnouncementError):
        return Failure(400, str(error), violations=error.errors)
    if isinstance(error, SlowError):
        return Failure(408, str(error))
    return refusal_of(turned_of(error))


def refusal_of(turned: Turned) -> Failure:
    """Return how a sender is told that its request is not taken."""
    challenge = [("www-authenticate", "Bearer")] if turned.code is Code.UNAUTHENTICATED else []
    return Failure(_STATUSES[turned.code], turned.message, turned.retry_s, challenge)


def status_of(failure: Failure) -> Status:
    """Return the body of an answer, as OTLP has it; one to bad data says which fields are wrong."""
    status = Status.FromString(encoded(_CODES[failure.status], failure.message, failure.retry_s))
    if failure.status == 400:
        wrong = [BadRequest.FieldViolation(field=field, description=rule) for field, rule in failure.violations]
        status.details.add().Pack(BadRequest(field_violations=wrong))
    return status
