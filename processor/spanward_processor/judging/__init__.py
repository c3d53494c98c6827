"""Judging: what all detectors hold against a stream, when it is a finding, and how the finding is told."""
