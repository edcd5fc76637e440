"""What may not follow: the record takes no entry that the life of a change does not ask for."""

from datetime import timedelta

import pytest

from policies import entries as law
from policies import lifecycle
from policies.canonical import digest
from policies.errors import LawError, UnlawfulTransitionError
from tests.policies.job import body_of

OTHER = digest(b"other")


def unlawful(world):
    """Entries that may never follow where a first step waits for a decision."""
    asked = world.change.steps[0].request.asked
    settled = {"step": 1, "evidence": asked.evidence, "deciders": (), "reason": "x"}
    yield law.SnapshotPinned(
        manifest=OTHER,
        records=1,
        splits=law.Splits(calibration=OTHER, validation=OTHER, holdout=OTHER),
    )
    yield law.DataValidated(passed=True, report=OTHER)
    yield law.DriftChecked(against=None, report=OTHER, passed=True)
    yield law.BaseMeasured(report=OTHER)
    yield law.LayersRanked(step=2, model=world.change.model, scores=OTHER, shortlist=(1,))
    yield law.ShortlistProbed(step=1, probe=OTHER, order=(1, 2, 3, 4))
    yield law.CandidateBuilt(
        step=1, attempt=2, layer=1, parent=OTHER, model=OTHER, healing="none", build=OTHER
    )
    yield law.CandidateMeasured(step=1, attempt=1, measurements=OTHER)
    yield law.CandidateJudged(
        step=1,
        attempt=1,
        passed=True,
        evidence=OTHER,
        verdicts=world.change.steps[0].attempts[0].judged.verdicts,
    )
    yield asked
    yield law.StepApproved(**settled)
    yield law.StepRejected(**settled)
    yield law.StepExpired(**settled)
    yield law.StepApproved(**{**settled, "step": "promotion"})
    yield law.StepsEnded(reason="limit", detail="x")
    yield law.HoldoutConfirmed(
        passed=True,
        measurements=OTHER,
        evidence=OTHER,
        verdicts=world.change.steps[0].attempts[0].judged.verdicts,
    )
    yield law.ModelRegistered(model=world.change.model, name="x", version="1", uri="s3://x")
    yield law.ModelPromoted(
        model=world.change.model, version="1", alias="champion", previous_version=None, deciders=()
    )
    yield law.ChangeClosed(outcome="promoted", reason="x")
    yield law.ChangeClosed(outcome="refused", reason="x")
    yield world.change.opened


def test_nothing_else_may_follow_while_people_are_asked(world):
    world.run()
    tried = list(unlawful(world))
    assert {type(body) for body in tried} >= set(law.BODIES.values()) - {
        law.DecisionRecorded,
        law.RosterChanged,
        law.JobKeyChanged,
        law.RunResumed,
        law.FaultRecorded,
        law.AliasRequested,
        law.AliasAnswered,
        law.AliasMoved,
        law.AliasKept,
        law.MonitorChecked,
        law.IncidentOpened,
        law.IncidentClosed,
    }
    before = world.state
    for body in tried:
        with pytest.raises(UnlawfulTransitionError):
            world.append(body)
    assert world.state == before


def test_a_refused_candidate_is_not_put_before_people(new_world):
    world = new_world(good=lambda step, attempt: False)
    world.open()
    while (
        not isinstance(world.next(), lifecycle.BuildCandidate) or not world.change.steps[0].attempts
    ):
        world.perform(world.next())
    refused = world.change.steps[0].attempts[0]
    asked = law.DecisionRequested(
        step=1,
        evidence=refused.judged.evidence,
        candidate=refused.built.model,
        expires=world.now + timedelta(hours=48),
    )
    with pytest.raises(UnlawfulTransitionError, match="rules said otherwise"):
        world.append(asked, lawful=False)
    with pytest.raises(LawError, match="nobody override"):
        lifecycle.request_decision(
            world.change, lifecycle.RequestDecision(1, 1), world.policy, world.now
        )


def test_a_protected_layer_is_not_even_short_listed(world):
    while not isinstance(world.next(), lifecycle.RankLayers):
        world.perform(world.next())
    ranked = law.LayersRanked(step=1, model=world.change.model, scores=OTHER, shortlist=(0, 1))
    with pytest.raises(UnlawfulTransitionError, match="due was RankLayers"):
        world.append(ranked)


def test_verdicts_must_carry_the_judgement(world):
    while not isinstance(world.next(), lifecycle.JudgeCandidate):
        world.perform(world.next())
    judged = body_of(world, world.next())
    for lie in ({"passed": False}, {"verdicts": ()}):
        with pytest.raises(UnlawfulTransitionError, match="does not follow from its verdicts"):
            world.append(judged.model_copy(update=lie))


def test_an_entry_of_another_change_or_line_may_not_follow(world, new_world):
    with pytest.raises(UnlawfulTransitionError, match="change that is not open"):
        world.append(law.BaseMeasured(report=OTHER), change="reviews-0009", lawful=False)
    other = new_world(line="letters")
    other.open()
    with pytest.raises(UnlawfulTransitionError, match="expected entry 1"):
        lifecycle.advance(world.state, other.chain.sealed[0].entry)


def test_what_a_check_says_follows_from_what_it_found():
    with pytest.raises(ValueError, match="exactly where nothing failed"):
        law.DataValidated(passed=True, report=OTHER, failures=("text is empty",))
    with pytest.raises(ValueError, match="exactly where there is no alarm"):
        law.DriftChecked(against=OTHER, report=OTHER, passed=False)
