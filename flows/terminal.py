"""Where people read."""

from rich.console import Console


def terminal(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; wide enough for tables where there is none."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=110)
