"""From the journal to every backend, until it took what was acknowledged."""
