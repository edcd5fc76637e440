"""How far a long work is, on stderr and only where that is a terminal."""

import sys
from collections.abc import Iterator
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
from tasks.reporting import Report, untold


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A callback for progress; the bar tells the time left, and is gone when the work is done."""
    if not sys.stderr.isatty():
        yield untold
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
