"""Hot loops: numba functions with bounds checks, without the GIL, each with a slow twin in `tests/`."""
