"""The model in use, watched: checks are judged again, incidents follow from them and end."""

from dataclasses import replace
from typing import Any

import pytest

from policies import entries as law
from policies import lifecycle
from policies.canonical import digest
from policies.errors import UnlawfulTransitionError, VerificationError
from policies.measurements import DataFacts, DriftCheckFact, DriftFacts, Measured
from policies.policy import parse_policy
from policies.verification import verify_pack
from policies.watching import WatchedKpi, WatchFacts, judge_watch


def watched(world, retention: float | None = 0.97, **changes: Any) -> WatchFacts:
    live = world.state.live
    reason = "" if retention is not None else "no record has a label"
    kpi = WatchedKpi(
        name="sentiment.auc",
        n=200,
        value=0.8,
        base_value=0.81,
        retention=Measured(value=retention, reason=reason),
        retention_low=None,
        promised=Measured(value=0.99),
    )
    values: dict[str, Any] = {
        "change": live.id,
        "model": live.model,
        "base_model": live.opened.base_model,
        "sampled": 200,
        "data": DataFacts(records=900, passed=True),
        "data_drift": DriftFacts(against=None),
        "kpis": (kpi,),
    }
    return WatchFacts(**(values | changes))


def check(world, facts: WatchFacts, **changes: Any) -> law.Entry:
    """Record one check of the model in use."""
    live = world.state.live
    verdicts = judge_watch(facts, world.policy)
    body = law.MonitorChecked(
        model=live.model,
        version=live.registered.version,
        manifest=world.put({"fresh": len(world.envelopes)}),
        facts=world.put(facts),
        passed=all(one.passed for one in verdicts),
        verdicts=verdicts,
    )
    return world.append(body.model_copy(update=changes), change=live.id)


@pytest.fixture(scope="module")
def two_versions(new_world):
    policy = parse_policy(
        new_world().policy.document().replace(b'"on_breach":"tell"', b'"on_breach":"rollback"')
    )
    assert policy.monitoring.on_breach == "rollback"
    world = new_world(policy=policy)
    for _ in range(2):
        world.open()
        world.approve_all()
    return world


@pytest.fixture
def line(two_versions):
    """A line with two versions, whose policy agrees to rollbacks beforehand."""
    return two_versions.fork()


def test_a_good_check_asks_for_nothing_and_is_in_the_pack(line):
    facts = watched(line)
    check(line, facts)
    assert lifecycle.incident_due(line.state) is None
    pack = line.pack("reviews-0002")
    assert f"evidence/{digest(facts)}" in pack
    assert verify_pack(pack)
    assert verify_pack(line.pack("reviews-0001"))


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"retention": 0.95}, True),
        ({"retention": 0.89}, False),
        ({"retention": None}, True),  # told, because labels often come later
        ({"data": DataFacts(records=9, passed=False, failures=("too few",))}, True),
    ],
)
def test_what_the_policy_says_of_a_check(line, changes, passes):
    verdicts = judge_watch(watched(line, **changes), line.policy)
    assert all(one.passed for one in verdicts) == passes


def test_what_is_told_can_be_made_an_alarm(line):
    strict = line.policy.model_copy(
        update={
            "monitoring": line.policy.monitoring.model_copy(
                update={"on_bad_data": "alarm", "unsure": "alarm", "min_of_promised": 0.99}
            )
        }
    )
    drifted = DriftFacts(
        against="x", checks=(DriftCheckFact(name="text_length", distance=9.0, noise=0.1),)
    )
    broken = DataFacts(records=9, passed=False, failures=("too few",))
    for changes in ({"retention": None}, {"data": broken}, {"data_drift": drifted}, {}):
        facts = watched(line, **changes)
        assert not all(one.passed for one in judge_watch(facts, strict))
        assert all(one.passed for one in judge_watch(facts, line.policy))


def test_a_bad_check_opens_one_incident_that_ends_when_the_model_is_well(line):
    check(line, watched(line, 0.5))
    due = lifecycle.incident_due(line.state)
    assert "sentiment.auc" in due.reason
    line.append(due, change="reviews-0002")
    check(line, watched(line, 0.5))
    assert lifecycle.incident_due(line.state) is None  # it is open already
    assert lifecycle.closing_due(line.state) is None
    check(line, watched(line))
    closing = lifecycle.closing_due(line.state)
    assert closing.how == "recovered"
    line.append(closing, change="reviews-0002")
    assert line.state.incident is None
    report = verify_pack(line.pack("reviews-0002"))
    assert any("incident 1" in one for one in report.notices)


def incident(line) -> int:
    check(line, watched(line, 0.5))
    return line.append(lifecycle.incident_due(line.state), change="reviews-0002").sequence


def ask(line, sequence: int | None, policy=None) -> None:
    wish = lifecycle.Wish("monitor", "the model is below its floor", incident=sequence)
    roster = line.put(line.roster.document())
    asked = lifecycle.request_move(line.state, wish, policy or line.policy, roster, line.now)
    line.put((policy or line.policy).document())
    line.append(asked, change=line.state.live.id)


def test_where_the_policy_agrees_beforehand_an_incident_rolls_back(line):
    ask(line, incident(line))
    line.append(lifecycle.settle_move(line.state, line.policy, line.now), change="reviews-0002")
    assert line.state.live.id == "reviews-0001"
    assert lifecycle.closing_due(line.state).how == "replaced"
    line.append(lifecycle.closing_due(line.state), change="reviews-0002")
    assert verify_pack(line.pack("reviews-0002"))


def test_without_an_incident_or_under_another_policy_it_does_not(line):
    ask(line, None)
    assert lifecycle.settle_move(line.state, line.policy, line.now) is None


def test_a_laxer_policy_brought_along_agrees_to_nothing(line):
    other = line.policy.model_copy(update={"name": "laxer"})
    ask(line, incident(line), other)
    assert lifecycle.settle_move(line.state, other, line.now) is None


def test_a_rollback_claiming_consent_that_is_not_there_is_a_fault(line):
    ask(line, incident(line))
    moved = lifecycle.settle_move(line.state, line.policy, line.now)
    line.state = replace(line.state, incident=None)
    with pytest.raises(UnlawfulTransitionError, match="nobody decided"):
        line.append(moved, change="reviews-0002", lawful=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"passed": True},
        {"version": "7"},
        {"model": "0" * 64},
    ],
)
def test_a_check_that_contradicts_itself_or_the_record_may_not_stand(line, changes):
    with pytest.raises(UnlawfulTransitionError):
        check(line, watched(line, 0.5), **changes)


def test_an_incident_without_a_bad_check_may_not_stand(line):
    check(line, watched(line))
    made_up = law.IncidentOpened(
        number=1, model=line.state.live.model, version="2", reason="made up"
    )
    with pytest.raises(UnlawfulTransitionError):
        line.append(made_up, change="reviews-0002", lawful=False)


def test_a_check_with_other_verdicts_than_its_measurements_give_is_a_fault(line):
    good = judge_watch(watched(line), line.policy)
    check(line, watched(line, 0.5), passed=True, verdicts=good)
    with pytest.raises(VerificationError, match="verdicts are not what the policy says"):
        verify_pack(line.pack("reviews-0002"))


def test_a_check_of_another_model_is_a_fault(line):
    check(line, watched(line, base_model="0" * 64))
    with pytest.raises(VerificationError, match="another model"):
        verify_pack(line.pack("reviews-0002"))
