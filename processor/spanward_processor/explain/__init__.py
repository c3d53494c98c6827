"""Why latency rose: rows of two times, and what the rise is made of. Nothing here needs the server."""
