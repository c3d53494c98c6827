"""The protocols by which a backend is reached, one file each."""
