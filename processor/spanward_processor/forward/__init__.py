"""What makes OK true: each backend, and the way to it from the journal or from the request itself."""
