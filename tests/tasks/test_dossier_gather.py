"""From evidence as the law writes it, and documents as the science writes them, to facts."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from avss.healing.report import HealingReport, SkippedLayer, Tried, told
from avss.profiling.costs import CostModel
from avss.profiling.profile import Measured as ProfiledSpeed
from avss.profiling.profile import Profile, Size
from policies.policy import Policy
from tasks.dossier import StepSource, Surroundings, gather, render
from tasks.dossier.facts.decision import AskFact
from tasks.drift.report import DriftCheck
from tasks.errors import DataError
from tests.tasks.dossier_documents import (
    DOCUMENTS,
    LAYERS,
    POLICY,
    evidence,
    scores_document,
)


def test_layers_keep_their_original_numbers_and_say_what_becomes_of_them() -> None:
    facts = gather(StepSource(evidence(2, (5, 3)), DOCUMENTS), policy=POLICY)
    states = {layer.index: layer.state for layer in facts.layers}
    assert len(states) == LAYERS
    assert (facts.removed, facts.proposed, facts.gone) == ((5,), (3,), 2)
    assert [layer.index for layer in facts.layers if layer.protected] == [0, 11]
    assert facts.layers[5].avss is None
    assert facts.layers[3].avss == 4.0
    assert (facts.layers[3].rank_low, facts.layers[3].rank_high) == (1, 6)


def test_plain_avss_is_named_with_what_it_would_have_cost() -> None:
    facts = gather(StepSource(evidence(2, (5, 3)), DOCUMENTS), policy=POLICY)
    plain = facts.plain_choice
    assert plain is not None
    assert not plain.published
    assert (plain.plain_layer, plain.plain_loss) == (0, 3.9)
    assert (plain.chosen_layer, plain.chosen_loss) == (3, 3.6)
    assert [probe.layer for probe in facts.probes] == [3, 8, 0]
    assert [(way.method, way.chosen) for way in facts.healing] == [
        ("none", False),
        ("closed_form", True),
    ]
    assert facts.search is not None
    assert (facts.search.probing, facts.search.scoring, facts.search.exhaustive) == (3, 2.25, 11)
    assert "passes over the probing text and 2.25 more of scoring; measuring every" in render(facts)


def test_why_nothing_healed_is_on_the_page() -> None:
    norm = Tried(
        "closed_form", 3.6, told((SkippedLayer(2, "a norm"), SkippedLayer(4, "a norm")), ())
    )
    report = HealingReport("none", 3.6, 3.6, 3.5, 8000, 2000, (Tried("none", 3.6), norm))
    document = json.loads(json.dumps(report.to_json()))
    source = StepSource(evidence(2, (5, 3)), DOCUMENTS | {"healing": document})
    page = render(gather(source, policy=POLICY))
    assert "Layers 2, 4 not healed: a norm." in page
    unfit = {"method": "none", "reason": "It does not predict the next token."}
    source = StepSource(evidence(2, (5, 3)), DOCUMENTS | {"healing": unfit})
    page = render(gather(source, policy=POLICY))
    assert "It does not predict the next token." in page


def test_avss_as_published_comes_before_the_proposing_score() -> None:
    scores = scores_document() | {"published": {"source": "output", "ranking": [8, 0, 3]}}
    facts = gather(StepSource(evidence(2, (5, 3)), DOCUMENTS | {"scores": scores}), policy=POLICY)
    plain = facts.plain_choice
    assert plain is not None
    assert (plain.plain_layer, plain.published, plain.plain_loss) == (8, True, 3.7)
    assert "perplexity × 1.221" in render(facts)


def test_answers_are_counted_and_shown_where_there_are_texts() -> None:
    outputs = {
        "kpis": [
            {"kpi": "mood", "n": 40, "label_flip_rate": 0.05, "label_kl": 0.1}
            | {"slices": [{"slice": "shop=north", "n": 20, "label_flip_rate": 0.1}]},
            {"kpi": "reply", "n": 10, "differ": 4},
        ]
    }
    shown = {"asked": "a\nb", "base": "good", "candidate": "bad", "record": 3}
    documents = DOCUMENTS | {"outputs": outputs}
    facts = gather(StepSource(evidence(1, (3,)), documents), policy=POLICY)
    assert [(row.same, row.differ) for row in facts.outputs] == [(38, 2), (18, 2), (6, 4)]
    assert facts.examples == ()
    documents |= {"examples": {"kpis": [{"kpi": "mood", "examples": [shown]}]}}
    (example,) = gather(StepSource(evidence(1, (3,)), documents), policy=POLICY).examples
    assert (example.kpi, example.asked, example.differs) == ("mood", "a\nb", True)


def test_slices_are_held_against_the_policy_and_never_called_met_without_a_limit() -> None:
    facts = gather(StepSource(evidence(1, (3,)), DOCUMENTS), policy=POLICY)
    said = {part.slice: part.outcome for part in facts.slices}
    assert said == {
        "condition=Acne": "pass",
        "condition=Pain": "unknown",
        "condition=Gout": "fail",
    }
    assert facts.worst_slices[0].slice == "condition=Gout"
    (rare,) = facts.rare_cases
    assert (rare.broken, rare.budget, rare.outcome) == (2, 1, "fail")


def test_verdicts_that_could_not_be_evaluated_are_told_from_those_that_failed() -> None:
    broken = evidence(1, (3,), retention=0.5)
    broken["verdicts"].append(
        {
            "rule": "worst_slice",
            "subject": "x",
            "passed": False,
            "reason": "cannot tell: no slice has 30 examples",
        }
    )
    facts = gather(StepSource(broken), policy=POLICY)
    assert {verdict.outcome for verdict in facts.failed} == {"fail", "unknown"}
    assert facts.kpis[0].outcome == "fail"
    assert not facts.passed


def test_the_trade_off_starts_at_the_base_and_marks_this_step() -> None:
    earlier = [StepSource(evidence(1, (5,), 0.99))]
    facts = gather(StepSource(evidence(2, (5, 3)), DOCUMENTS), policy=POLICY, earlier=earlier)
    assert [point.layers_removed for point in facts.tradeoff] == [0, 1, 2]
    assert [point.this_step for point in facts.tradeoff] == [False, False, True]
    assert facts.tradeoff[0].kpis[0].retention == 1.0
    assert facts.tradeoff[1].kpis[0].retention == 0.99
    assert facts.tradeoff[2].speed == pytest.approx(1 / 0.86)
    assert facts.kpis[0].before == pytest.approx(0.8 * 0.99)


def test_the_promotion_is_measured_anew_in_place_of_the_last_step() -> None:
    last = evidence(2, (5, 3))
    whole = {**evidence(2, (5, 3), 0.96), "step": "promotion", "proposed_layer": None}
    whole["measurements"] = {**whole["measurements"], "step": "promotion"}
    facts = gather(StepSource(whole), policy=POLICY, earlier=[StepSource(last)])
    assert [point.layers_removed for point in facts.tradeoff] == [0, 2]
    assert facts.tradeoff[-1].kpis[0].retention == 0.96
    assert facts.kpis[0].before == 0.8
    assert facts.removed == (3, 5)
    assert "holdout" not in {gap.kind for gap in facts.unknowns}


def test_the_curve_ends_at_the_best_candidate_that_was_refused() -> None:
    whole = {**evidence(1, (5,), 0.96), "step": "promotion", "proposed_layer": None}
    whole["measurements"] = {**whole["measurements"], "step": "promotion"}
    refused = [StepSource(evidence(2, (5, layer), kept)) for layer, kept in ((3, 0.7), (7, 0.89))]
    facts = gather(StepSource(whole), policy=POLICY, refused=refused)
    assert [(point.layers_removed, point.refused) for point in facts.tradeoff] == [
        (0, False),
        (1, False),
        (2, True),
    ]
    assert facts.tradeoff[-1].kpis[0].retention == 0.89
    reached = {one.kept: (one.layers, one.layers_surely) for one in facts.reach}
    assert reached == {0.99: (0, 0), 0.97: (0, 0), 0.95: (1, 0), 0.9: (1, 1), 0.8: (2, 2)}
    page = render(facts)
    assert 'class="refused"' in page
    assert "How far one could go" in page


def test_what_lies_beyond_a_loss_is_out_of_reach() -> None:
    earlier = [StepSource(evidence(1, (5,), 0.85))]
    facts = gather(StepSource(evidence(2, (5, 3), 0.99)), policy=POLICY, earlier=earlier)
    assert {one.kept: one.layers for one in facts.reach}[0.9] == 0


def test_money_and_speed_come_from_the_profile() -> None:
    speeds = tuple(
        ProfiledSpeed(name, "tokens/s", True, 120.0, 100.0, 1.2, 1.1, 1.3)
        for name in ("prefill_tokens_per_second", "batched_decode_tokens_per_second")
    )
    cost = CostModel(2.0, "USD", 1e9, 1e8).of({one.name: one for one in speeds})
    profile = Profile(
        device="cpu",
        dtype="float32",
        threads=1,
        prompt_tokens=256,
        decode_tokens=32,
        batch_size=4,
        repeats=7,
        confidence=0.95,
        size=Size(90, 360, 400, 8),
        base_size=Size(100, 400, 440, 10),
        speeds=speeds,
        energy_reason=None,
        cost=cost,
    )
    documents = {"profile": json.loads(json.dumps(profile.to_json()))}
    facts = gather(StepSource(evidence(1, (3,)), documents), policy=POLICY)
    assert facts.cost is not None
    assert facts.cost.saved_month == cost.savings_per_month
    assert facts.cost.price_hour == pytest.approx(2.0)
    assert facts.tradeoff[-1].cost == pytest.approx(100 / 120)
    rows = {row.name: row for row in facts.profile}
    assert (rows["resident_bytes"].base, rows["resident_bytes"].ratio) == (400, 0.9)
    assert rows["prefill_tokens_per_second"].ratio_low == 1.1


def test_the_whole_contract_and_the_splits_are_shown() -> None:
    def outcome(column: str, severity: str, passed: bool) -> dict[str, Any]:
        kind = "expect_column_values_to_be_between"
        return {"type": kind, "column": column, "severity": severity, "passed": passed}

    expectations = [
        outcome("records", "critical", True),
        outcome("duplicate_share", "warning", False),
        outcome("newest_age_days", "info", False),
    ]
    splits = {"checks": [asdict(DriftCheck.unsure("domain", "AUC", 0.6, "too few records"))]}
    documents = DOCUMENTS | {
        "validation": {"passed": True, "expectations": expectations},
        "data_drift": DOCUMENTS["data_drift"] | {"splits": splits},
    }
    facts = gather(StepSource(evidence(2, (5, 3)), documents), policy=POLICY)
    assert facts.data is not None
    told = (facts.data.kept, facts.data.warnings, facts.data.notes)
    assert [[one.column for one in part] for part in told] == [
        ["records"],
        ["duplicate_share"],
        ["newest_age_days"],
    ]
    assert [one.name for one in facts.drift if one.kind == "splits"] == ["domain"]
    page = render(facts)
    assert "Expectations that were met: 1" in page
    assert "Validation against calibration" in page


def test_what_is_not_known_is_listed() -> None:
    facts = gather(StepSource(evidence(1, (3,)), DOCUMENTS), policy=POLICY)
    kinds = {(gap.kind, gap.subject, gap.n) for gap in facts.unknowns}
    assert kinds == {
        ("small_slices", "sentiment.auc", 3),
        ("drift", "domain", None),
        ("rank", "3", 1),
        ("holdout", "", None),
    }


def test_quorum_and_roles_come_from_the_policy() -> None:
    around = Surroundings(ask=AskFact(requester="Mika"))
    facts = gather(StepSource(evidence(1, (3,))), policy=POLICY, surroundings=around)
    assert (facts.ask.requester, facts.ask.quorum) == ("Mika", 2)
    assert facts.ask.roles == ("owner", "risk")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_gathered_facts_render(language: str) -> None:
    facts = gather(StepSource(evidence(2, (5, 3)), DOCUMENTS), policy=POLICY)
    assert "support-0001" in render(facts, language)


def test_a_step_that_failed_half_way_says_what_is_known() -> None:
    started = {"line": "support", "change": "support-0001", "step": 1, "attempt": 1}
    facts = gather(StepSource(started, {"scores": DOCUMENTS["scores"]}), policy=Policy(name="p"))
    assert facts.passed is None
    assert facts.kpis == ()
    assert "support-0001" in render(facts)


def test_a_document_of_another_shape_is_refused_without_its_contents() -> None:
    documents = {"scores": {"layers": [{"index": "the patient said"}]}}
    with pytest.raises(DataError, match=r"'scores'.*layers\.0\.index") as caught:
        gather(StepSource(evidence(1, (3,)), documents), policy=POLICY)
    assert "patient" not in str(caught.value)
    assert caught.value.__cause__ is None
