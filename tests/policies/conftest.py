"""A small world of the law: keys, people, a policy, and a job that does whatever is next."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies import measurements
from policies.roster import Roster, parse_roster
from tests.policies.samples import facts, key_of, kpi, roster_of
from tests.policies.world import World


@pytest.fixture(scope="session")
def new_world() -> Callable[..., World]:
    """Makes worlds."""
    return World


@pytest.fixture
def world() -> World:
    """A world in which a change has just been opened."""
    made = World()
    made.open()
    return made


@pytest.fixture(scope="session")
def finished() -> World:
    """A world whose change is promoted: one refused candidate, three approved steps. Read only."""
    made = World(good=lambda step, attempt: (step, attempt) != (2, 1))
    made.open()
    made.approve_all()
    return made


@pytest.fixture(scope="session")
def make_facts() -> Callable[..., measurements.Measurements]:
    return facts


@pytest.fixture(scope="session")
def make_kpi() -> Callable[..., measurements.KpiFact]:
    return kpi


@pytest.fixture(scope="session")
def make_key() -> Callable[[str], Ed25519PrivateKey]:
    return key_of


@pytest.fixture(scope="session")
def make_roster() -> Callable[..., Roster]:
    return roster_of


@pytest.fixture(scope="session")
def read_roster() -> Callable[[str], Roster]:
    return parse_roster
