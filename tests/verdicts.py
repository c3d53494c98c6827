"""A verdict on a canary, for tests of what is made of one."""

from spanward_processor.canary.verdict import Decision, Standing, Verdict
from spanward_processor.findings import Series

STANDING = Standing("latency", 1.0, 3.2, 2.0, 1.6, 2.4, False, "60 ms", "120 ms", "typical latency", "x2")
"""Latency has doubled."""

VERDICT = Verdict(
    stable=Series("support", "router", "2.0"),
    canary=Series("support", "router", "2.1"),
    decision=Decision.ROLL_BACK,
    reason="2.1 against 2.0: slower",
    at_ns=9,
    began_ns=1,
    decided_ns=8,
    log10_e=3.0,
    log10_threshold=2.0,
    requests=(900, 100),
    clients=(40, 4),
    standings=(STANDING,),
)
"""The canary is to be rolled back."""
