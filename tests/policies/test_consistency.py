"""Contradictions are found before a change is opened."""

import re
from datetime import UTC, datetime

import pytest

from policies.consistency import contradictions
from policies.policy import load_policy, parse_policy

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def found(roster, text="", **changes):
    values = {
        "line": "reviews",
        "requester": "erin",
        "kpis": ["sentiment.auc"],
        "original_layers": 30,
        "now": NOW,
    }
    return contradictions(parse_policy(f"name: x\n{text}"), roster, **{**values, **changes})


@pytest.fixture
def roster(make_roster):
    return make_roster({"ann": ["approver"], "ben": ["approver", "risk"]})


def test_what_can_end_well_is_not_complained_about(roster):
    assert found(roster) == []


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("approvals: {step: {quorum: 3}}", {}, "approvals.step: 3 people must approve"),
        ("approvals: {promotion: {quorum: 2}}", {"requester": "Ben"}, "roster has 1"),
        ("approvals: {step: {roles: [board]}}", {}, "role board, but the roster has 0"),
        (
            "approvals: {step: {quorum: 2, roles: [approver, risk], at_least: {risk: 2}}}",
            {},
            "2 people must approve in the role risk",
        ),
        ("kpis: {sentiment.acu: {}}", {}, "kpis.sentiment.acu: .* did you mean sentiment.auc"),
        ("kpis: {default: {report_only: true}}", {}, "no metric of the KPI file is judged"),
        ("", {"original_layers": 3}, "of 3 layers none may be removed"),
        ("limits: {protected_layers: [40]}", {}, "no layer 40"),
        ("limits: {protected_layers: [0, 1, 2, 3]}", {"original_layers": 4}, "every layer"),
        (
            "approvals: {override: {rules: [kpi_retentio], roles: [risk]}}",
            {},
            "no rule kpi_retentio; did you mean kpi_retention",
        ),
    ],
)
def test_what_cannot_is_named_with_advice(roster, text, changes, message):
    sentences = found(roster, text, **changes)
    assert len(sentences) == 1
    assert re.search(message, sentences[0])


def test_shipped_policies_suit_a_roster_with_their_roles(make_roster):
    roster = make_roster(
        {"ann": ["product"], "ben": ["risk"], "cid": ["compliance"], "dan": ["approver"]}
    )
    for name in ("standard", "strict", "exploratory"):
        sentences = contradictions(
            load_policy(name),
            roster,
            line="reviews",
            requester="erin",
            kpis=["sentiment.auc"],
            original_layers=30,
            now=NOW,
        )
        assert sentences == []
