"""Framework integrations: one framework, one file."""
