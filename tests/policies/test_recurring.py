"""Later changes of a line: they go on from what is in use, and heed what people refused."""

import pytest

from policies import entries as law
from policies import lifecycle
from policies.canonical import digest
from policies.errors import UnlawfulTransitionError
from policies.verification import verify_pack
from tests.policies.job import body_of


def opened(world, **changes):
    """Open the next change as the job does now: from the version in use, or from the base."""
    live = world.state.live
    world.start = {
        "start_model": live.model if live else digest(b"base"),
        "start_layers": live.kept if live else tuple(range(world.layers)),
    } | changes
    world.open()


@pytest.fixture
def line(new_world):
    world = new_world()
    opened(world)
    return world


def went_on_to(world, kind):
    """Do what is next until it is this kind of action."""
    while not isinstance(action := world.next(), kind):
        assert action is not None, "the change is over"
        assert not isinstance(action, lifecycle.CollectDecisions)
        world.perform(action)
    return action


def refused(world, who="bob"):
    world.run()
    layer = world.change.steps[-1].chosen.built.layer
    world.decide(who, "reject")
    world.run()
    return layer


def test_the_next_change_starts_from_the_version_in_use_and_is_measured_against_the_base(line):
    line.approve_all()
    live = line.state.live
    opened(line)
    assert line.change.model == live.model
    assert line.change.kept == live.kept
    assert line.change.opened.base_model == digest(b"base")


def test_where_no_layer_may_go_any_more_nothing_is_pinned(line):
    line.approve_all()
    opened(line)
    line.run()
    over = line.state.closed[-1]
    assert (over.outcome, over.change.snapshot) == ("nothing_to_do", None)
    assert verify_pack(line.pack())


def test_the_same_model_rules_and_data_are_not_looked_at_again(line):
    refused(line)
    opened(line)
    line.run()
    over = line.state.closed[-1]
    assert over.outcome == "nothing_to_do"
    assert "those of change reviews-0001, which ended: the first step was rejected" in over.reason
    assert over.change.data is None
    assert verify_pack(line.pack())


@pytest.mark.parametrize("what", ["data", "policy", "start"])
def test_what_changed_is_looked_at_again(line, what):
    refused(line)
    if what == "data":
        line.split = digest(b"this week")
    elif what == "policy":
        line.policy = line.policy.model_copy(update={"name": "another"})
    opened(line, **({"start_model": digest(b"retrained")} if what == "start" else {}))
    assert went_on_to(line, lifecycle.RankLayers).step == 1


def test_a_refused_layer_is_not_proposed_again_while_the_data_is_like_then(line):
    layer = refused(line)
    line.split, line.like = digest(b"this week"), ("reviews-0001",)
    opened(line)
    line.run()
    assert layer not in line.change.steps[0].ranked.shortlist
    assert verify_pack(line.pack())
    line.append(law.ChangeClosed(outcome="aborted", reason="by hand"))
    line.split, line.like = digest(b"next week"), ()
    opened(line)
    line.run()
    assert layer in line.change.steps[0].ranked.shortlist


def test_a_job_that_proposes_it_nevertheless_is_found_out(line):
    layer = refused(line)
    line.split, line.like = digest(b"this week"), ("reviews-0001",)
    opened(line)
    action = went_on_to(line, lifecycle.RankLayers)
    honest = body_of(line, action)
    lie = honest.model_copy(update={"shortlist": (layer, *honest.shortlist[1:])})
    with pytest.raises(UnlawfulTransitionError, match="not what the policy lets follow"):
        line.append(lie)


def test_a_refused_promotion_is_not_asked_for_again_while_the_data_is_like_then(line):
    while line.run() and line.waiting_for != "promotion":
        line.decide("alice")
        line.decide("bob")
    line.decide("bob", "reject")
    line.run()
    line.split, line.like = digest(b"this week"), ("reviews-0001",)
    opened(line)
    line.run()
    assert line.state.closed[-1].outcome == "nothing_to_do"
    assert "refused in change reviews-0001" in line.state.closed[-1].reason


def test_where_people_refused_all_that_could_go_no_more_is_asked(new_world):
    world = new_world(layers=3)  # the first and the last are protected
    opened(world)
    refused(world)
    world.split, world.like = digest(b"this week"), ("reviews-0001",)
    opened(world)
    world.run()
    over = world.state.closed[-1]
    assert (over.outcome, over.change.ended.reason) == ("nothing_to_do", "refused_before")
    assert verify_pack(world.pack())


def test_what_it_claims_to_be_like_must_have_been_refused(line):
    line.approve_all()
    line.policy = line.policy.model_copy(update={"name": "another"})
    content = line.policy.model_dump(mode="json")
    content["limits"]["max_layers_removed"] = 4
    line.policy = type(line.policy).model_validate(content)
    line.like = ("reviews-0001",)
    opened(line)
    went_on_to(line, lifecycle.CheckDataDrift)
    with pytest.raises(UnlawfulTransitionError):
        line.perform(line.next())


def refused_often(line, times):
    """The same layer refused week by week, on data that differs each time."""
    for week in range(times):
        line.split, line.like = digest(f"week {week}".encode()), ()
        opened(line)
        refused(line)
    line.split = digest(b"this week")
    opened(line)
    return lifecycle.refusals(line.state, line.change)


def test_no_more_refusals_are_compared_than_it_takes(new_world):
    earlier = refused_often(new_world(), 3)
    names = [one.id for one in earlier]
    compared = []
    found = lifecycle.still_alike(earlier, lambda one: compared.append(one.id) or "alike")
    assert (compared, found) == (names[-1:], {names[-1]: "alike"})
    compared.clear()
    assert lifecycle.still_alike(earlier, lambda one: compared.append(one.id)) == {}
    assert compared == names[::-1]


def test_their_number_does_not_grow_with_the_history(new_world):
    compared = []
    lifecycle.still_alike(refused_often(new_world(), 10), lambda one: compared.append(one.id))
    assert len(compared) == 8
