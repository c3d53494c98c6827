"""OpenTelemetry for AI inference, private by default.

import spanward

spanward.configure(service_name="support")

@spanward.inference("router", version="1.0")
def classify(text: str) -> dict[str, object]:
    return {"label": "billing", "score": 0.97}
"""

from spanward.api import configure, shutdown
from spanward.calibration import Calibration, NotArmedError, calibrate
from spanward.call import Call
from spanward.config import Settings
from spanward.decorator import Inference, inference
from spanward.fingerprint import Shingles, Windows
from spanward.loading import model_loading
from spanward.outcome import Outcome, Tokens
from spanward.request import RequestContext, current_request, request_context
from spanward.routing import canary
from spanward.runtime import handoff
from spanward.tracing import VERSION

__version__ = VERSION

__all__ = [
    "Calibration",
    "Call",
    "Inference",
    "NotArmedError",
    "Outcome",
    "RequestContext",
    "Settings",
    "Shingles",
    "Tokens",
    "Windows",
    "__version__",
    "calibrate",
    "canary",
    "configure",
    "current_request",
    "handoff",
    "inference",
    "model_loading",
    "request_context",
    "shutdown",
]
