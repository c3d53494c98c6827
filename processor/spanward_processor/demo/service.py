"""The service that is watched: a text classifier behind a REST API. One decorator and one line make it visible.

Run it as any FastAPI service: `uvicorn spanward_processor.demo.service:app`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from operator import attrgetter

from fastapi import FastAPI
from pydantic import BaseModel

import spanward
from spanward_integrations.fastapi import instrument_fastapi
from spanward_processor.demo.classifier import Classifier
from spanward_processor.demo.corpus import load_corpus


class Ticket(BaseModel):
    """What a customer wrote, and where it came from."""

    text: str
    channel: str
    client: str


class Route(BaseModel):
    """The desk that should answer, and how sure the model is."""

    label: str
    score: float


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    """Send spans while the service runs, to where the standard OTEL_* variables say."""
    spanward.configure(service_name="support-desk")
    yield
    spanward.shutdown()


app = FastAPI(lifespan=lifespan)
instrument_fastapi(app)
classifier = Classifier(load_corpus())


@spanward.inference(
    model="support-router",
    version="1.0",
    input=attrgetter("text"),
    channel=attrgetter("channel"),
    client=attrgetter("client"),
)
def classify(ticket: Ticket) -> dict[str, str | float]:
    """Return the most probable desk."""
    return classifier.most_probable(ticket.text)


@app.post("/route")
def route(ticket: Ticket) -> Route:
    """Route one ticket to a desk."""
    return Route.model_validate(classify(ticket))
