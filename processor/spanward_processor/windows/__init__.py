"""Event-time windows: bags of counts that take rows, close, and merge."""
