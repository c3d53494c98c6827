"""Peers that a test needs and a machine may lack."""

import os

import pytest


def require_peer(name: str, present: bool, reason: str) -> None:
    """Skip the test where the peer is absent; fail instead where the environment promises all peers.

    Args:
        name: What is needed.
        present: Whether it is there.
        reason: What was looked for, and how to get it.
    """
    if present:
        return
    if os.environ.get("SPANWARD_REQUIRE_PEERS") == "1":
        pytest.fail(f"{name} is required by SPANWARD_REQUIRE_PEERS=1: {reason}")
    pytest.skip(f"{name}: {reason}")
