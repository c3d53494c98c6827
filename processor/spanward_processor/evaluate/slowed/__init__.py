"""A real service made slow for known reasons, and what is measured of it."""
