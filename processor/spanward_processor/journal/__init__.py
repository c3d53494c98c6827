"""What was acknowledged and not yet delivered, on disk: a small log of segments, read by every backend at its own pace."""
