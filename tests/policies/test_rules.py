"""Every rule: what passes, what fails, what cannot be told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.measurements import (
    CalibrationFacts,
    DataFacts,
    DriftCheckFact,
    DriftFacts,
    LayerFacts,
    Measured,
    OutputDriftFact,
    ProofFact,
    RareCaseFact,
    Ratio,
    SliceFact,
)
from policies.policy import parse_policy
from policies.rules import RULES, judge, passed

BASE = "name: test\n"
UNKNOWN = Measured(value=None, reason="the run was too short")


def policy(text=""):
    return parse_policy(BASE + text)


def of(rule, facts, text=""):
    return [verdict for verdict in judge(facts, policy(text)) if verdict.rule == rule]


def layers(kept, parent=tuple(range(30)), base=tuple(range(30))):
    return LayerFacts(original_layers=30, base_kept=base, parent_kept=parent, kept=tuple(kept))


def without(*gone):
    return [layer for layer in range(30) if layer not in gone]


def test_the_good_candidate_passes(make_facts):
    verdicts = judge(make_facts(), policy())
    assert passed(verdicts)
    assert {verdict.rule for verdict in verdicts} == {rule.name for rule in RULES} - {"rare_cases"}


def test_nothing_judged_is_not_passed():
    assert not passed(())


def drift(name, distance, noise=None):
    return DriftFacts(
        against="before", checks=(DriftCheckFact(name=name, distance=distance, noise=noise),)
    )


def resources(make_facts, **changes):
    return {"resources": make_facts().resources.model_copy(update=changes)}


BAD = {
    "layer_limit": lambda f, k: {"layers": layers(without(*range(1, 9)), without(*range(1, 8)))},
    "layers_per_step": lambda f, k: {"layers": layers(without(7, 8))},
    "layers_per_step, none": lambda f, k: {"layers": layers(range(30))},
    "protected_layers": lambda f, k: {"layers": layers(without(29))},
    "calibration": lambda f, k: {
        "calibration": CalibrationFacts(records=99, tokens=1, rank_stability=Measured(value=0.9))
    },
    "calibration, unstable": lambda f, k: {
        "calibration": CalibrationFacts(records=500, tokens=1, rank_stability=Measured(value=0.5))
    },
    "calibration, unknown": lambda f, k: {
        "calibration": CalibrationFacts(records=500, tokens=1, rank_stability=UNKNOWN)
    },
    "data_contract": lambda f, k: {"data": DataFacts(records=900, passed=False)},
    "data_contract, failures": lambda f, k: {
        "data": DataFacts(records=900, passed=True, failures=("text is empty",))
    },
    "data_contract, unknown": lambda f, k: {"data": DataFacts(records=900, passed=None)},
    "data_contract, small": lambda f, k: {"data": DataFacts(records=299, passed=True)},
    "data_drift": lambda f, k: {"data_drift": drift("label", 0.2)},
    "data_drift, of one label": lambda f, k: {"data_drift": drift("label_share", 0.2)},
    "data_drift, noisy": lambda f, k: {"data_drift": drift("label", 0.15, 0.2)},
    "data_drift, unknown": lambda f, k: {"data_drift": drift("label", None)},
    "data_drift, no limit": lambda f, k: {"data_drift": drift("confidence", 0.1)},
    "data_drift, nothing": lambda f, k: {"data_drift": DriftFacts(against="before")},
    "score_drift": lambda f, k: {"score_drift": drift("rank_change", 0.6)},
    "score_drift, unknown": lambda f, k: {"step": 2, "score_drift": DriftFacts(against=None)},
    "output_drift": lambda f, k: {
        "output_drift": (
            OutputDriftFact(kpi="s", measure="next_token_kl", moved=Measured(value=1.1)),
        )
    },
    "output_drift, unknown": lambda f, k: {
        "output_drift": (OutputDriftFact(kpi="s", measure="next_token_kl", moved=UNKNOWN),)
    },
    "output_drift, nothing": lambda f, k: {"output_drift": ()},
    "kpi_retention": lambda f, k: {"kpis": (k(retention_low=0.9499),)},
    "kpi_retention, unknown": lambda f, k: {
        "kpis": (k(retention_low=None, reason="one class only", needed_n=900),)
    },
    "kpi_retention, less sure": lambda f, k: {"kpis": (k(confidence=0.9),)},
    "kpi_retention, none": lambda f, k: {"kpis": ()},
    "worst_slice": lambda f, k: {"kpis": (k(slices=(part("a", 50, 0.79), part("b", 50, 0.9))),)},
    "worst_slice, jointly": lambda f, k: {
        "kpis": (k(slices=(part("a", 50, 0.81),), worst_slice=part("a", 50, 0.7)),)
    },
    "worst_slice, small": lambda f, k: {"kpis": (k(slices=(part("a", 29, 0.9),)),)},
    "worst_slice, all small": lambda f, k: {"kpis": (k(small_slices=4),)},
    "worst_slice, unknown": lambda f, k: {
        "kpis": (k(slices=(part("a", 50, None), part("b", 50, 0.9))),)
    },
    "drop_per_step": lambda f, k: {"kpis": (k(retention=0.93),)},
    "drop_per_step, unknown": lambda f, k: {"kpis": (k(retention_before=UNKNOWN),)},
    "rare_cases": lambda f, k: {"rare_cases": (RareCaseFact(kpi="s", n=9, broken=1, budget=0),)},
    "rare_cases, unknown": lambda f, k: {
        "rare_cases": (RareCaseFact(kpi="s", n=0, broken=None, budget=5),)
    },
    "saving": lambda f, k: resources(f, parameters=Measured(value=0.9995)),
    "saving, unknown": lambda f, k: resources(f, parameters=UNKNOWN),
    "latency": lambda f, k: resources(f, prefill_seconds=Ratio(value=1.0, high=1.11)),
    "latency, no limit": lambda f, k: resources(f, decode_seconds=Ratio(value=0.9)),
    "latency, unknown": lambda f, k: resources(f, decode_seconds=Ratio(value=None, reason="busy")),
    "proof_of_cut": lambda f, k: {"proof": ProofFact(passed=False)},
    "proof_of_cut, unknown": lambda f, k: {"proof": ProofFact(passed=None, reason="no memory")},
}


def part(name, n, low):
    return SliceFact(slice=f"condition={name}", n=n, retention=low, retention_low=low)


@pytest.mark.parametrize("case", BAD)
def test_each_rule_alone_refuses_what_it_is_for(case, make_facts, make_kpi):
    facts = make_facts(**BAD[case](make_facts, make_kpi))
    failed = [verdict for verdict in judge(facts, policy()) if not verdict.passed]
    assert {verdict.rule for verdict in failed} == {case.split(",")[0]}
    for verdict in failed:
        told = verdict.margin is None or verdict.margin < 0
        assert told
        assert verdict.reason or verdict.margin is not None
        assert (verdict.observed is None) or not verdict.reason.startswith("cannot tell")


def test_every_rule_has_a_case_that_it_refuses():
    assert {case.split(",")[0] for case in BAD} == {rule.name for rule in RULES}


def test_layers_that_went_before_this_change_are_not_its_fault(make_facts):
    old = without(0)
    facts = make_facts(layers=layers([one for one in old if one != 7], old, old))
    assert of("protected_layers", facts)[0].passed
    assert of("layer_limit", facts)[0].observed == 2


def test_a_required_kpi_must_be_measured(make_facts):
    verdicts = of("kpi_retention", make_facts(), "kpis: {faq.accuracy: {}}\n")
    assert [verdict.subject for verdict in verdicts if not verdict.passed] == ["faq.accuracy"]


def test_what_is_only_reported_is_not_judged(make_facts, make_kpi):
    facts = make_facts(
        kpis=(make_kpi(), make_kpi(name="text.loss", retention_low=None, reason="-"))
    )
    assert not passed(judge(facts, policy()))
    assert passed(judge(facts, policy("kpis: {text.loss: {report_only: true}}\n")))


def test_the_policy_may_leave_drift_to_the_approvers(make_facts):
    for found, field in ((drift("label", 0.2), "on_alarm"), (drift("label", None), "unsure")):
        verdict = of(
            "data_drift", make_facts(data_drift=found), f"drift: {{data: {{{field}: tell}}}}\n"
        )[0]
        assert verdict.passed
        assert "approvers" in verdict.reason


def test_rules_about_one_step_are_silent_on_the_whole(make_facts):
    facts = make_facts(step="promotion", split="holdout", layers=layers(without(5, 6, 7)))
    verdicts = judge(facts, policy())
    assert passed(verdicts)
    assert not {"layers_per_step", "score_drift", "drop_per_step"} & {one.rule for one in verdicts}


@given(low=st.floats(0, 2), limit=st.floats(0.01, 1))
def test_retention_passes_exactly_where_its_lower_limit_reaches_the_policys(
    make_facts, make_kpi, low, limit
):
    facts = make_facts(kpis=(make_kpi(retention_low=low),))
    verdict = of("kpi_retention", facts, f"kpis: {{default: {{min_retention: {limit!r}}}}}\n")[0]
    assert verdict.passed == (low >= limit)
    assert verdict.margin == pytest.approx(low - limit)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_measurement_is_without_a_number(bad, make_kpi):
    with pytest.raises(ValueError, match="finite"):
        Measured(value=bad)
    with pytest.raises(ValueError, match="finite"):
        make_kpi(retention=bad)


def test_null_needs_a_reason():
    with pytest.raises(ValueError, match="needs a reason"):
        Measured(value=None)
