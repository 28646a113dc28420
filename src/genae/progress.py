"""Progress of long work."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""What is done, how much of it, of how much: ``progress("features of the training images", 64, 1000)``."""


def silent(message: str, done: int, total: int) -> None:
    """No progress is shown."""
