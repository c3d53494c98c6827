"""Where messages lie, against recursion over the wire format."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_wire
from arrays import bytes_of, no_frames, stack
from otlp import damaged, requests
from spanward_processor.kernels.frames import Frames, locate_frames


def located(request: bytes) -> tuple[int, Frames]:
    """Count, make room, and fill."""
    frames = no_frames()
    found = np.zeros(5, np.int64)
    error = locate_frames(bytes_of(request), frames, found, stack())
    if not error:
        frames = Frames(*(np.empty((rows, 5), np.int64) for rows in found[:3]))
        error = locate_frames(bytes_of(request), frames, np.zeros(5, np.int64), stack())
    return error, frames


@settings(max_examples=50)
@given(requests(), st.randoms(use_true_random=False), st.booleans())
def test_frames_equal_their_twin(request: bytes, rng: random.Random, broken: bool) -> None:
    """Each frame and its parent is where recursion finds it; a request that is refused has a negative answer."""
    request = damaged(request, rng) if broken else request

    error, frames = located(request)

    if not error:
        assert naive_wire.frames(request) == tuple([tuple(row) for row in rows.tolist()] for rows in frames)
    else:
        assert broken


@settings(max_examples=50)
@given(requests(), st.integers(1, 40))
def test_cut_requests_are_refused_or_shorter(request: bytes, cut: int) -> None:
    """A truncated request is refused, unless it was cut between two resources."""
    shorter = request[: max(len(request) - cut, 0)]

    error, frames = located(shorter)

    assert error < 0 or naive_wire.frames(shorter)[0] == [tuple(row) for row in frames.resources.tolist()]


def test_an_empty_request_has_no_frames() -> None:
    """Nothing in, nothing found."""
    error, frames = located(b"")

    assert [error, *(rows.shape[0] for rows in frames)] == [0, 0, 0, 0]


def test_a_resource_with_scopes_of_its_own_only() -> None:
    """Spans belong to their scope, scopes to their resource, also when some are empty."""
    request = b"\x0a\x00" + b"\x0a\x06\x12\x00\x12\x02\x12\x00"

    _, frames = located(request)

    assert frames.scopes[:, 4].tolist() == [1, 1]
    assert frames.spans[:, 4].tolist() == [1]
