"""Canaries: unique markers put wherever content can be; none may be in any exported byte."""

from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from starlette.testclient import TestClient

import spanward
from spanward.testing import capture_spans
from spanward_integrations.fastapi import instrument_fastapi

KEY = b"c4n4ry-in-the-key-0123456789"


def test_no_canary_leaves_the_process() -> None:
    """Inputs, outputs, exceptions, headers, paths, queries, bodies, client names and the key stay where they are."""
    app = FastAPI()
    instrument_fastapi(app)

    @spanward.inference(model="m", version="1", client=lambda *, text: "c4n4ry-client")
    def predict(*, text: str) -> dict[str, object]:
        if "boom" in text:
            raise ValueError(f"c4n4ry-exception {text}")
        return {"answer": f"c4n4ry-output {text}", "score": 0.5}

    @app.post("/predict/{name}")
    def answer(name: str, text: str) -> dict[str, object]:
        return predict(text=f"c4n4ry-input {name} {text}")

    with capture_spans() as spans:
        spanward.configure(hashing_key=KEY)
        client = TestClient(app, raise_server_exceptions=False)
        for text in ("c4n4ry-query", "boom c4n4ry-query"):
            client.post(
                f"/predict/c4n4ry-path?text={text}",
                headers={"authorization": "c4n4ry-header", "user-agent": "c4n4ry-agent"},
                content=b"c4n4ry-body",
            )
        client.get("/c4n4ry-unknown-path")
        exported = encode_spans(spans.finished).SerializeToString()

    assert len(spans.finished) == 5
    assert b"predict/{name}" in exported
    assert b"c4n4ry" not in exported
    for piece in (b"authorization", b"boom"):
        assert piece not in exported
