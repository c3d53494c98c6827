"""The service of the canary's story: two versions of one model, and a flag that says who gets which.

Run it as any FastAPI service: `uvicorn spanward_processor.demo.canary_service:app`, with the flags' file in `FLAGS_FILE`.
"""

import os
from operator import attrgetter

from fastapi import FastAPI
from pydantic import BaseModel

import spanward
from spanward_integrations.fastapi import instrument_fastapi
from spanward_processor.demo.service import Ticket, classifier, lifespan

FLAG = "support-router"


class Answer(BaseModel):
    """The desk that should answer, and which version says so."""

    label: str
    version: str


app = FastAPI(lifespan=lifespan)
instrument_fastapi(app)
readings = {"2.1": 1}  # how often the canary reads each text


@spanward.inference(model=FLAG, version="2.0", input=attrgetter("text"), client=attrgetter("client"))
def classify_2_0(ticket: Ticket) -> dict[str, str | float]:
    """Return the most probable desk."""
    return classifier.most_probable(ticket.text)


@spanward.inference(model=FLAG, version="2.1", input=attrgetter("text"), client=attrgetter("client"))
def classify_2_1(ticket: Ticket) -> dict[str, str | float]:
    """Return the most probable desk; once it has regressed, it reads every text several times."""
    for _ in range(readings["2.1"] - 1):
        classifier.probabilities(ticket.text)
    return classifier.most_probable(ticket.text)


classify = spanward.canary(
    FLAG,
    stable=classify_2_0,
    canary=classify_2_1,
    flags=os.environ.get("FLAGS_FILE", "flags.json"),
    client=attrgetter("client"),
)


@app.post("/route")
def route(ticket: Ticket) -> Answer:
    """Route one ticket to a desk."""
    version = "2.1" if classify.variant(ticket.client) == "canary" else "2.0"
    return Answer(label=str(classify(ticket)["label"]), version=version)


@app.post("/regress")
def regress() -> None:
    """Let the canary take twice as long, as after a careless change: reading is about half of a call."""
    readings["2.1"] = 3
