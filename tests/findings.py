"""A finding, for tests of what is made of one."""

from spanward_processor.findings import Finding, Series, Severity, State

FINDING = Finding(
    id="f1",
    kind="quality",
    state=State.OPENED,
    severity=Severity.WARNING,
    series=Series("support", "router", "1.0"),
    detector="baseline",
    aspect="decision",
    opened_ns=1,
    updated_ns=1,
    window_ns=1,
    observed="",
    baseline="",
    log10_e=7.0,
    p=1e-6,
    n=60,
    budget_per_day=1.0,
    reason="",
)
"""The decisions of a router moved; nobody says why."""
