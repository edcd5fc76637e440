"""What time it is, asked in one place: so that a simulation can let a year pass in minutes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


def _system() -> datetime:
    return datetime.now(UTC)


_sources: list[Callable[[], datetime]] = [_system]


def now() -> datetime:
    """The time, in UTC."""
    return _sources[-1]()


@contextmanager
def telling(source: Callable[[], datetime]) -> Iterator[None]:
    """Take the time from `source` meanwhile, in this process. For simulations and tests alone."""
    _sources.append(source)
    try:
        yield
    finally:
        _sources.remove(source)
