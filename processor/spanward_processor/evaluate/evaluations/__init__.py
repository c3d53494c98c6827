"""The evaluations, one file each."""

from typing import Final

from spanward_processor.evaluate.base import Evaluation
from spanward_processor.evaluate.evaluations import (
    attributed_findings,
    boiling_frog,
    causes,
    change_delay,
    daily_swings,
    false_alarms,
    merge_law,
    nab,
    nezha,
    outliers,
    poisoned_channel,
    root_cause,
    slo_alerts,
    weekends,
)

EVALUATIONS: Final[tuple[Evaluation, ...]] = (
    attributed_findings.EVALUATION,
    boiling_frog.EVALUATION,
    causes.EVALUATION,
    change_delay.EVALUATION,
    daily_swings.EVALUATION,
    false_alarms.EVALUATION,
    merge_law.EVALUATION,
    nab.EVALUATION,
    nezha.EVALUATION,
    outliers.EVALUATION,
    poisoned_channel.EVALUATION,
    root_cause.EVALUATION,
    slo_alerts.EVALUATION,
    weekends.EVALUATION,
)
"""Every evaluation, in the order in which they are run; a test compares this tuple with the folder."""
