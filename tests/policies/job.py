"""A job that does whatever is next: what it says after each of the law's actions."""

from typing import TYPE_CHECKING, Any

from policies import entries as law
from policies import lifecycle, measurements
from policies.canonical import digest
from policies.policy_sections import HEALING_METHODS
from tests.policies.samples import facts, kpi

if TYPE_CHECKING:
    from tests.policies.world import World


def body_of(world: "World", action: lifecycle.Action) -> law.Body:
    """What the job says after an action: all as it should be, unless the world has it otherwise."""
    change, document = world.change, world.put({"at": len(world.envelopes)})
    match action:
        case lifecycle.PinSnapshot():
            splits = law.Splits(
                calibration=world.split, validation=world.split, holdout=world.split
            )
            return law.SnapshotPinned(manifest=document, records=900, splits=splits)
        case lifecycle.ValidateData():
            return law.DataValidated(passed=True, report=document)
        case lifecycle.CheckDataDrift():
            like = dict.fromkeys(world.like, document)
            return law.DriftChecked(
                against=None, report=document, passed=True, unchanged_since=like
            )
        case lifecycle.MeasureBase():
            return law.BaseMeasured(report=document)
        case lifecycle.RankLayers():
            protected = world.policy.limits.protected(world.layers)
            barred = lifecycle.barred(world.state, change)
            free = sorted(set(change.kept) - protected - barred)
            return law.LayersRanked(
                step=action.step,
                model=change.model,
                scores=document,
                shortlist=tuple(free[: world.policy.selection.shortlist]),
            )
        case lifecycle.ProbeShortlist():
            order = tuple(reversed(action.shortlist))
            return law.ShortlistProbed(step=action.step, probe=document, order=order)
        case lifecycle.BuildCandidate():
            return law.CandidateBuilt(
                step=action.step,
                attempt=action.attempt,
                layer=action.layer,
                parent=change.model,
                model=digest([change.model, action.layer, action.methods]),
                healing=max(action.methods, key=HEALING_METHODS.index),
                build=document,
            )
        case lifecycle.MeasureCandidate():
            found = world.put(found_in(world, action.step, action.attempt))
            return law.CandidateMeasured(
                step=action.step, attempt=action.attempt, measurements=found
            )
        case lifecycle.JudgeCandidate():
            found = found_in(world, action.step, action.attempt)
            evidence = evidence_of(world, action.step, found)
            return law.CandidateJudged(
                step=action.step,
                attempt=action.attempt,
                passed=evidence.passed,
                evidence=world.put(evidence),
                verdicts=evidence.verdicts,
            )
        case lifecycle.RequestDecision():
            return lifecycle.request_decision(change, action, world.policy, world.now)
        case lifecycle.EndSteps():
            return law.StepsEnded(reason=action.reason, detail="as the policy says")
        case lifecycle.ConfirmHoldout():
            found = found_in(world, "promotion", 1)
            evidence = evidence_of(world, "promotion", found)
            return law.HoldoutConfirmed(
                passed=evidence.passed,
                measurements=world.put(found),
                evidence=world.put(evidence),
                verdicts=evidence.verdicts,
            )
        case lifecycle.RegisterModel():
            return law.ModelRegistered(
                model=change.model,
                name=world.line,
                version=str(world.state.changes),
                uri=f"s3://avss-work/models/{world.state.changes}",
            )
        case lifecycle.PromoteModel():
            settled = change.promotion.settled if change.promotion else None
            return law.ModelPromoted(
                model=change.model,
                version=str(world.state.changes),
                alias=world.policy.promotion.alias,
                previous_version=None,
                deciders=settled.deciders if settled else (),
            )
        case lifecycle.CloseChange():
            return law.ChangeClosed(outcome=action.outcome, reason=action.reason)
        case _:
            raise AssertionError(f"not for a machine: {action}")


def found_in(world: "World", step: int | str, attempt: int) -> measurements.Measurements:
    """What was measured: good or bad as this world has it."""
    whole = step == "promotion"
    good = world.holdout_good if whole else world.good(int(step), attempt)
    earlier = measurements.DriftFacts(
        against="step before",
        checks=(
            measurements.DriftCheckFact(name="rank_change", distance=0.1),
            measurements.DriftCheckFact(name="lowest_change", distance=0.2),
        ),
    )
    low = 0.95 if good else 0.5
    return facts(
        lifecycle.layer_facts(world.change, step),
        step=step,
        attempt=attempt,
        split="holdout" if whole else "validation",
        score_drift=measurements.DriftFacts(against=None) if step == 1 else earlier,
        kpis=(kpi(retention_low=low),),
    )


def evidence_of(world: "World", step: int | str, found: measurements.Measurements) -> Any:
    """The evidence that the job makes of measurements."""
    named = {"scores": world.put({"scores of": step})}
    return lifecycle.make_evidence(world.change, step, found, named, world.policy)
