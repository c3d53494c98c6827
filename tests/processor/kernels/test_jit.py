"""What compiling kernels loads."""

import subprocess
import sys


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
