"""How far a long work is, on stderr and only where that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flows.terminal import shown, terminal

Report = Callable[[int, int | None], None]
"""Called with what is done and what there is in all; None where that is not known."""


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A callback for progress; the bar tells the time left, and is gone when the work is done."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal(stderr=True), transient=True) as bar:
        task = bar.add_task(shown(title), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def counted(report: Report) -> Callable[[int], None]:
    """For work that tells only how much more is done, such as bytes that arrived."""
    done = 0

    def moved(more: int) -> None:
        nonlocal done
        done += more
        report(done, None)

    return moved
