"""A stage of a flow as one of Prefect's task runs."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.faults import guarded

_Found = TypeVar("_Found")


def run_stage(
    name: str, stage: Callable[..., _Found], *arguments: object, title: str | None = None
) -> _Found:
    """Do `stage` as a task run; what foreign errors quote is kept out of the logs.

    Prefect walks through all that a task is given, and a line's state holds its whole past, so
    nothing is given: the arguments are bound before.
    """
    bound = partial(guarded(name, stage), *arguments)

    @task(name=name, task_run_name=title, cache_policy=NO_CACHE)
    def run() -> _Found:
        found: _Found = bound()
        return found

    return run()
