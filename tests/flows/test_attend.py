"""What waits is looked after: answers that were only dropped, reminders, requests that run out."""

from datetime import timedelta

import pytest

from benchmarks.life import Life
from flows.attend import attend
from policies.entries import FaultRecorded
from policies.lifecycle import advance
from tasks import clock
from tasks.job import Job
from tasks.run_file import RunFile

pytestmark = pytest.mark.stack


@pytest.fixture
def life(world, webhook, monkeypatch) -> Life:
    """The world's line, run in this process, that tells a webhook."""
    monkeypatch.setenv("AVSS_HOME", str(world.folder / "home"))
    world.rewrite("run.yaml", notifications={"blocks": [webhook.slug], "remind_hours": 24})
    return Life(world.folder, world.line)


def test_people_are_reminded_answers_found_and_what_runs_out_is_closed(world, life, webhook):
    config = str(world.folder / "run.yaml")
    assert attend(config) == "nothing"  # no change is open
    life.run()
    assert [one["title"] for one in webhook.posts] == [f"Decision wanted: {world.change}, step 1"]
    assert world.sample not in str(webhook.posts)
    assert attend(config) == "nothing"
    request = life.view.change(world.change).request(1)
    life.answer(world.change, "Ann")
    assert attend(config) == "woken"
    life.run()
    assert attend(config) == "nothing"  # the answer was counted; one more is needed
    with clock.telling(lambda: request.asked.expires - timedelta(hours=10)):
        assert attend(config) == "reminded"
        assert attend(config) == "nothing"
    assert webhook.posts[-1]["title"].startswith("Reminder")
    with clock.telling(lambda: request.asked.expires + timedelta(minutes=1)):
        assert attend(config) == "woken"
        assert life.run().outcome == "expired"
        assert attend(config) == "nothing"


def test_a_change_that_nobody_works_on_is_started_until_it_keeps_failing(world, life):
    config = str(world.folder / "run.yaml")
    good = RunFile.load(world.folder / "run.yaml")
    world.rewrite("run.yaml", data={"uri": "s3://avss-data/nothing", "fields": {"text": "said"}})
    with pytest.raises(Exception, match="nothing"):
        life.run()
    assert attend(config) == "nothing"  # it would be started, but the line has no deployment
    job = Job(good)
    for _ in range(2):
        fault = FaultRecorded(stage="pin the data", error="DataError", message="again")
        job.journal.append(fault, world.change, lambda entry: advance(job.state, entry))
    assert attend(config) == "needs a look"
