"""Why a call ended without an answer of the server."""


class TransportError(OSError):
    """The call has no answer."""


class NotConnectedError(TransportError):
    """There is no connection; nothing of the call was sent."""


class ConnectionLostError(TransportError):
    """The connection ended before the answer came; the server may have taken the call or not."""


class ReplyTooLongError(TransportError):
    """The server's reply is longer than the limit; the server took the call."""


class CallTimeoutError(TimeoutError):
    """The answer did not come in time; the server may have taken the call or not."""


class NotProcessedError(Exception):
    """The server told that it did not look at the call; it may be sent again. Does not leave this package."""
