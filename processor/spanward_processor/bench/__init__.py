"""Throughput, cost and latency of the whole processor beside a peer, measured on this machine in one interleaved run."""
