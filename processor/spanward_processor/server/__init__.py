"""The running processor: receivers, delivery, live page, ticking windows, self-telemetry; started and drained in order."""

from spanward_processor.server.process import serve
from spanward_processor.server.processor import Processor

__all__ = ["Processor", "serve"]
