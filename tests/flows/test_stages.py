"""A stage as a task run: what it is given is its own affair, however long a line has lived."""

import os
from dataclasses import dataclass

import pytest
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.stages import run_stage
from tasks.faults import StageError

pytestmark = pytest.mark.stack
LOOKS: list[str] = []


@dataclass
class Past:
    """Counts who reads what it holds."""

    entries: tuple[int, ...] = (1, 2, 3)

    def __getattribute__(self, name: str) -> object:
        if name == "entries":
            LOOKS.append(name)
        return super().__getattribute__(name)


def first_of(past: Past) -> int:
    return past.entries[0]


@flow
def looked_at(*, plainly: bool) -> int:
    LOOKS.clear()
    found = task(first_of)(Past()) if plainly else run_stage("look", first_of, Past(), title="one")
    assert found == 1
    return len(LOOKS)


@flow
def failing() -> None:
    run_stage("look", int, "what a customer wrote")


def test_prefect_does_not_walk_through_what_a_stage_is_given(stack):
    with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
        assert looked_at(plainly=False) == 1  # the stage itself
        assert looked_at(plainly=True) > 1


def test_what_a_foreign_error_quotes_is_not_told(stack):
    with (
        temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}),
        pytest.raises(StageError, match="ValueError") as told,
    ):
        failing()
    assert "customer" not in str(told.value)
