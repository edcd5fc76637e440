"""Where people read: consoles that show what is hidden instead of obeying it."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from tasks.dossier.figures import visible

_LONGEST = 100_000


class SafeConsole(Console):
    """A console on which no text of others moves the cursor, changes colours or turns direction.

    Control and direction marks stand there by name, as `⟨U+001B⟩`; our own styles are no text.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(shown(segment.text), segment.style)


def shown(text: str) -> str:
    """Text with nothing hidden in it; its lines stay lines."""
    if text.isprintable():
        return text
    return "\n".join(visible(line, _LONGEST) for line in text.split("\n"))


def terminal(*, stderr: bool = False, **options: Any) -> Console:
    """A console as wide as the terminal; wide enough for tables where there is none."""
    console = SafeConsole(stderr=stderr, highlight=False, **options)
    if console.is_terminal or "width" in options:
        return console
    return SafeConsole(stderr=stderr, highlight=False, width=110, **options)
