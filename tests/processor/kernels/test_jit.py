"""What compiling kernels loads, and how often one is compiled."""

import subprocess
import sys
from typing import Any, cast

import numpy as np

from spanward_processor.kernels.jit import Ints, borrowing


@borrowing
def _shifted(values: Ints, by: int) -> int:
    return int(values[0]) + by


@borrowing
def _with_constants(values: Ints) -> int:
    at = 0  # of this type until the loop is seen
    while at < values.size:
        at = _shifted(values, at) + _shifted(values, 7)
    return at


def test_kernels_load_no_linear_algebra() -> None:
    """No kernel multiplies matrices, so scipy's BLAS is left where it is; whoever wants scipy gets all of it."""
    script = """
import sys
import spanward_processor.kernels.jit
import numba, numba.np.arraymath
assert "scipy.linalg" not in sys.modules
import scipy.linalg
assert scipy.linalg.det([[2.0]]) == 2.0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_a_constant_makes_no_kernel_of_its_own() -> None:
    """Called with a constant, and with a variable that begins with one, a kernel is compiled once."""
    assert _with_constants(np.array([2], np.int64)) == 11
    cast("Any", _with_constants).recompile()  # what comes from the cache asks for no other kernel
    assert len(cast("Any", _shifted).overloads) == 1
