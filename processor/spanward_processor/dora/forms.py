"""The five metrics as JSON can hold them."""

from dataclasses import asdict
from typing import Any, Final

from spanward_processor.dora.deployment import Deployment
from spanward_processor.dora.deployments import Deployments
from spanward_processor.dora.report import measure

MOST_SHOWN: Final = 200
"""Deployments that are listed; the metrics are of all."""


def form_of(deployments: Deployments, since_s: float, service: str = "", model: str = "") -> dict[str, Any]:
    """Return what is known of the subjects of a service and a model, and their newest deployments.

    Args:
        deployments: All deployments.
        since_s: How far back, seconds of event time.
        service: Name of the service; empty for any.
        model: Name of the model, of which parts without a model are none; empty for any.
    """
    measured, newest = measure(deployments, since_s)
    chosen = [one for one in measured if service in {"", one.subject.service} and model in {"", one.subject.model}]
    subjects = {one.subject for one in chosen}
    return {
        "until_ns": deployments.until_ns,
        "since_s": since_s,
        "rework_is": "an estimate",
        "subjects": [_flat(asdict(one)) for one in chosen],
        "deployments": [deployment_form(one) for one in newest if one.subject in subjects][:MOST_SHOWN],
    }


def deployment_form(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment; times that are not known are null."""
    form = _flat(deployment.as_plain())
    for name in ("commit_ns", "failed_ns", "recovered_ns"):
        form[name] = form[name] or None
    del form["number"]
    return form


def _flat(form: dict[str, Any]) -> dict[str, Any]:
    subject: dict[str, Any] = form.pop("subject")
    return subject | form
