"""Deployments, seen in the stream: which version is in charge, which failed, and how soon that was mended."""
