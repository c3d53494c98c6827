"""The intervals of `spanward evaluate`, for scripts that are no evaluations yet."""

from spanward_processor.evaluate.intervals import over_seeds, share

__all__ = ["over_seeds", "share"]
