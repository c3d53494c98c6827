"""Framework integrations: one framework, one file; importing this imports none of them."""

from typing import Final

from spanward_integrations.base import DidNotEnableError, Integration

INTEGRATIONS: Final[tuple[Integration, ...]] = (
    Integration("fastapi", framework="fastapi", extra="fastapi", instrumentor="FastAPIInstrumentor"),
    Integration("huggingface", framework="transformers", extra="huggingface", instrumentor="HuggingFaceInstrumentor"),
    Integration("onnxruntime", framework="onnxruntime", extra="onnxruntime", instrumentor="OnnxRuntimeInstrumentor"),
    Integration("openai", framework="openai", extra="openai", instrumentor="OpenAIInstrumentor"),
    Integration("pytriton", framework="pytriton", extra="pytriton", instrumentor="PyTritonInstrumentor"),
    Integration("sklearn", framework="sklearn", extra="sklearn", instrumentor="SklearnInstrumentor"),
    Integration("triton", framework="tritonclient", extra="triton", instrumentor="TritonInstrumentor"),
)
"""Every integration; tests compare this tuple with the folder and with the distribution's entry points."""

__all__ = ["INTEGRATIONS", "DidNotEnableError", "Integration"]
