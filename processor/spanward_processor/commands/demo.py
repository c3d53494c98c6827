"""Placeholder."""


def demo() -> None:
    """Run the demo."""
