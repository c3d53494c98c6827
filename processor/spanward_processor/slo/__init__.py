"""Service level objectives, judged on the stream: what they are, what was counted, and when a budget burns too fast."""
