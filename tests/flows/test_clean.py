"""The clean-up as Prefect runs it."""

import os

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.clean import clean
from tasks import clock
from tests.flows.parts import plain_run
from tests.tasks.left_behind import BASE, Place, days, new_world, promoted

pytestmark = pytest.mark.stack


def test_the_flow_deletes_what_a_dry_run_names(stack, tmp_path, monkeypatch):
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))
    place = Place(stack.unique)
    world = new_world("shop")
    version = promoted(world)
    place.lay(world)
    # The line may be any: models are shared.
    run = plain_run("another", place.places.work, place.places.ledger)
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(run))
    going = len(place.plan(later=20).leftovers)
    later = world.now + days(20)
    with (
        temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}),
        clock.telling(lambda: later),
    ):
        assert clean(str(config)) == going > 0
        assert clean(str(config)) == 0
    assert place.models == {version, BASE}
