"""Every kind of entry is told, and every action has its stage."""

from typing import get_args

from flows.narrative import TELLINGS
from flows.optimize import MISSION
from policies.entries import BODIES
from policies.lifecycle import Action


def test_every_kind_of_entry_is_told():
    assert set(TELLINGS) == set(BODIES.values())


def test_every_action_has_its_stage():
    assert set(MISSION) == set(get_args(Action))
