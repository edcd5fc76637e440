"""How far a long work is, for whoever shows it."""

from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import TypeVar

Report = Callable[[int, int], None]
"""Called with what is done and what there is in all, in any unit."""
Item = TypeVar("Item")


def untold(_done: int, _total: int) -> None:
    """For work that nobody watches."""


def told(items: Iterable[Item], total: int, report: Report, *, before: int = 0) -> Iterator[Item]:
    """The items; each counts as done once the next is asked for, after `before` others of all."""
    for done, item in enumerate(items, before + 1):
        yield item
        report(done, total)


def summed(total: int, report: Report) -> Callable[[int], None]:
    """For work that tells only how much more is done, such as bytes that arrived, from threads."""
    done, alone = 0, Lock()

    def moved(more: int) -> None:
        nonlocal done
        with alone:
            done += more
            report(done, total)

    return moved
