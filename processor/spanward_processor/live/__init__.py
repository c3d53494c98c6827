"""The live page: what is learned, what is normal, what is wrong, since when and why."""
