"""The policy file."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from policies.errors import PolicyError
from policies.explanation import COURSE_FIELDS, explain
from policies.policy import SHIPPED, Policy, load_policy, parse_policy, policy_schema
from policies.policy_sections import KpiGate, OverrideGate
from policies.rules import RULES
from policies.watching import WATCH_RULES

MINIMAL = "name: mine\nkpis: {default: {min_retention: 0.9}}\n"


def test_two_lines_are_a_policy():
    policy = parse_policy(MINIMAL)
    assert policy.gate_of("sentiment.auc").min_retention == 0.9
    assert policy.gate_of("sentiment.auc").confidence == 0.95


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_policies_load_and_read_back_from_their_document(name):
    policy = load_policy(name)
    assert policy.name == name
    again = parse_policy(policy.document())
    assert again == policy
    assert again.digest == policy.digest


def test_the_digest_covers_defaults_and_ignores_layout():
    spelled = parse_policy("kpis:\n  default:\n    min_retention: 0.90\nname: mine\nlimits: {}\n")
    assert spelled.digest == parse_policy(MINIMAL).digest
    assert parse_policy(MINIMAL.replace("0.9", "0.91")).digest != spelled.digest


def test_a_named_gate_takes_what_it_leaves_out_from_the_default():
    policy = parse_policy(
        "name: mine\nkpis:\n"
        "  default: {min_retention: 0.8, worst_slice: {min_retention: 0.6, min_support: 10}}\n"
        "  sentiment.auc: {confidence: 0.99, worst_slice: {min_support: 50}}\n"
        "  text.loss: {worst_slice: null}\n"
    )
    gate = policy.gate_of("sentiment.auc")
    assert (gate.min_retention, gate.confidence) == (0.8, 0.99)
    assert gate.worst_slice.min_retention == 0.6
    assert gate.worst_slice.min_support == 50
    assert policy.gate_of("text.loss").worst_slice is None
    assert policy.required_kpis == ("sentiment.auc", "text.loss")
    assert policy.confidence == 0.99


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nlimit: {}", "limit: there is no such field; did you mean limits?"),
        ("name: x\nkpis: {a: {min_retentoin: 1}}", "kpis.a.min_retentoin: .* min_retention?"),
        ("name: x\nkpis: {a: {min_retention: 1.1}}", "kpis.a.min_retention: .* equal to 1"),
        ("name: x\nkpis: {a: 3}", "kpis.a"),
        ("name: x\nlimits: {max_share_removed: .nan}", "finite number"),
        ("name: x\nlimits: {max_share_removed: .inf}", "max_share_removed"),
        ("name: x\nlimits: {max_layers_removed: 0}", "greater than or equal to 1"),
        ("name: x\nlimits: {max_share_removed: null}", "give max_layers_removed"),
        ("name: x\nhealing: {methods: []}", "at least one"),
        ("name: x\napprovals: {step: {at_least: {risk: 1}}}", "not among roles"),
        ("name: x\napprovals: {step: {roles: [a], at_least: {a: 2}}}", "than the quorum"),
        ("name: x\napprovals: {step: {roles: []}}", "at least one role"),
        ("name: x\nname: y", "line 2, column 1: this key stands twice"),
        ("name: &a x\nformat: *a", "instead of an alias"),
        ("- name", "expected a mapping"),
        ("name: [", "line 1, column 8"),
        ("name: \x00", "Mend the file"),
        ("{}", "name: Field required"),
        ("!!python/object/apply:os.system [ls]", "Mend the file"),
    ],
)
def test_what_cannot_be_used_is_refused_with_place_and_advice(text, message):
    with pytest.raises(PolicyError, match=message) as caught:
        parse_policy(text, "policy.yaml")
    assert str(caught.value).startswith("policy.yaml: ")
    assert caught.value.exit_code == 2


def test_values_never_reach_a_message():
    with pytest.raises(PolicyError) as caught:
        parse_policy("name: x\nlimits: {max_share_removed: my-secret}")
    assert "my-secret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(PolicyError, match="one of standard, strict, exploratory"):
        load_policy(tmp_path / "none.yaml")


def test_limits_count_layers_of_the_original_model():
    limits = parse_policy(
        "name: x\nlimits: {max_share_removed: 0.25, protected_layers: [0, -2]}"
    ).limits
    assert limits.layers_allowed(30) == 7
    assert limits.layers_allowed(3) == 0
    assert limits.protected(30) == {0, 28}
    assert parse_policy("name: x\nlimits: {max_layers_removed: 99}").limits.layers_allowed(40) == 10


def leaves(model: type[BaseModel], place: str = "") -> set[str]:
    """Dotted paths of all fields that hold no further model; any KPI is `*`."""
    inner = {"kpis": (KpiGate, "kpis.*."), "override": (OverrideGate, "approvals.override.")}
    found: set[str] = set()
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        models = [one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)]
        if name in inner:
            found |= leaves(*inner[name])
        elif models:
            found |= leaves(models[0], f"{place}{name}.")
        else:
            found.add(f"{place}{name}")
    return found


def test_every_field_is_read_by_a_rule_or_steers_the_course():
    rules = (*RULES, *WATCH_RULES)
    read = {path for rule in rules for path in rule.reads} | set(COURSE_FIELDS)
    assert read == leaves(Policy)


def test_every_rule_is_explained_in_every_shipped_policy():
    for name in SHIPPED:
        policy = load_policy(name)
        sentences = explain(policy)
        assert all(sentence.endswith(".") for sentence in sentences)
        for rule in (*RULES, *WATCH_RULES):
            assert set(rule.explain(policy)) <= set(sentences)


def test_explanation_follows_the_values():
    before = explain(load_policy("standard"))
    other = load_policy("standard").model_dump(mode="json")
    other["limits"]["attempts_per_step"] = 4
    other["approvals"]["override"] = {"rules": ["kpi_retention"], "roles": ["board"]}
    after = explain(Policy.model_validate(other))
    assert any("after 4 refused" in sentence for sentence in after)
    assert any("board" in sentence and "kpi_retention" in sentence for sentence in after)
    assert "Nobody can override the rules." in before
    assert "Nobody can override the rules." not in after


def test_the_json_schema_describes_every_field():
    schema = policy_schema()
    undescribed = [
        f"{name}.{field}"
        for name, section in schema["$defs"].items()
        for field, content in section["properties"].items()
        if "description" not in content and "$ref" not in content
    ]
    assert undescribed == []
    assert json.dumps(schema, allow_nan=False)
