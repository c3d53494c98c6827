"""What Argo Rollouts and Flagger are answered when they ask about a canary."""

from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from spanward_processor.canary.verdict import Decision, Verdict
from spanward_processor.live.app import live_app
from spanward_processor.live.testing import ScriptedSource
from verdicts import VERDICT

FLAGGER = {"name": "router", "namespace": "models", "phase": "Progressing"}


def client_of(decision: Decision | None, known: str = "router") -> TestClient:
    """Return a client of a page that knows one model, with such a verdict or with none."""

    def ask(service: str, model: str) -> Verdict | None:
        if (service, model) != ("support", known):
            raise KeyError(model)
        return replace(VERDICT, decision=decision) if decision else None

    # controllers ask by the name of a Service
    return TestClient(live_app(ScriptedSource(), lambda: True, ask=ask), base_url="http://spanward.observability.svc")


def test_argo_reads_the_verdict_as_json() -> None:
    """`jsonPath: {$.verdict}` and `{$.ok}` are there, with the reason and each guard."""
    answer = client_of(Decision.ROLL_BACK).get("/v1/canary/support/router")

    told = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert (told["verdict"], told["ok"], told["canary"]["version"]) == ("roll_back", False, "2.1")
    assert told["guards"]["latency"]["canary"] == "120 ms"


@pytest.mark.parametrize(
    ("decision", "rollout", "promotion", "rollback"),
    [
        (Decision.CONTINUE, 200, 409, 409),
        (Decision.PROMOTE, 200, 200, 409),
        (Decision.ROLL_BACK, 409, 409, 200),
        (None, 200, 409, 409),
    ],
)
def test_flagger_is_answered_by_status(decision: Decision | None, rollout: int, promotion: int, rollback: int) -> None:
    """Its hooks of type rollout, confirm-promotion and rollback each get the code that they wait for."""
    client = client_of(decision)

    answers = [
        client.post(f"/v1/canary/support/router{hook}", json=FLAGGER) for hook in ("", "/promotion", "/rollback")
    ]

    assert [answer.status_code for answer in answers] == [rollout, promotion, rollback]
    assert all(answer.json()["reason"] for answer in answers)


@pytest.mark.parametrize(("hook", "status"), [("", 409), ("/promotion", 409), ("/rollback", 200)])
def test_a_models_name_may_hold_slashes(hook: str, status: int) -> None:
    """Names such as `org/model` are asked about as they are, by every hook."""
    client = client_of(Decision.ROLL_BACK, known="org/router")

    assert client.post(f"/v1/canary/support/org/router{hook}", json=FLAGGER).status_code == status
    assert client.get("/v1/canary/support/org/router").json()["model"] == "org/router"


def test_a_model_that_nobody_knows_is_not_found() -> None:
    """A wrong name shall not pass for a good canary."""
    assert client_of(Decision.PROMOTE).get("/v1/canary/support/rooter").status_code == 404
