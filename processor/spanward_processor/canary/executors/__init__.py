"""Every way to roll back, by its kind in the configuration; one file each."""

from collections.abc import Callable
from typing import Any, Final

from spanward_processor.canary.executors.base import Executor
from spanward_processor.canary.executors.command import CommandExecutor
from spanward_processor.canary.executors.flagd import FlagdExecutor
from spanward_processor.canary.executors.kubernetes import RolloutExecutor
from spanward_processor.canary.executors.routes import RouteExecutor
from spanward_processor.canary.executors.webhook import WebhookExecutor

EXECUTORS: Final[tuple[tuple[str, Callable[[Any], Executor]], ...]] = (
    ("webhook", WebhookExecutor.of),
    ("flagd", FlagdExecutor.of),
    ("command", CommandExecutor.of),
    ("argo_rollouts", RolloutExecutor.of),
    ("istio", RouteExecutor.of),
    ("gateway_api", RouteExecutor.of),
)
"""Kind, and what makes an executor of its section."""
