"""OpenTelemetry for AI inference, private by default.

import spanward

spanward.configure(service_name="support")

@spanward.inference(model="router", version="1.0")
def classify(text: str) -> dict[str, object]:
    return {"label": "billing", "score": 0.97}
"""

from importlib.metadata import version as _version

from spanward.api import configure, shutdown
from spanward.call import Tokens
from spanward.config import Settings
from spanward.decorator import inference

__version__ = _version("spanward")

__all__ = ["Settings", "Tokens", "__version__", "configure", "inference", "shutdown"]
