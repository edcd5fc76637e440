"""Every sentence that our rules, checks and contracts can write is said in Japanese as well."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from avss.profiling.costs import CostModel
from avss.profiling.profile import Measured
from policies.approvals import verify_decision
from policies.measurements import DataFacts, DriftFacts
from policies.measurements import Measured as Known
from policies.policy import parse_policy
from policies.watching import WATCH_RULES, WatchedKpi, WatchFacts, judge_watch
from tasks.data.suites import ExpectationSuite
from tasks.data.validation import ExpectationOutcome
from tasks.dossier.sentences import Sentences
from tasks.dossier.texts import load_texts
from tasks.drift.report import DriftCheck

ROOT = Path(__file__).parent.parent.parent
ENGLISH, JAPANESE = (load_texts(language) for language in ("en", "ja"))
SUITES = sorted(path.stem for path in (ROOT / "policies" / "expectations").glob("*.yaml"))
WRITERS = [
    *(ROOT / "policies" / "rules").glob("*.py"),
    *(ROOT / "tasks" / "measuring").glob("*.py"),
    *(ROOT / "tasks" / "drift").glob("*.py"),
    *(ROOT / "avss" / "comparing" / f"{name}.py" for name in ("bootstrap", "metrics", "retention")),
]
SAYING = {"cannot_tell", "found", "at_least", "at_most", "unsure", "_because"}
ANSWERS = {"no drift", "cannot tell"}
STAND_INS = ("3", "no example has a value", "kept")


def written(tree: ast.AST) -> Iterator[str]:
    """The texts of a module that end up as a reason, with stand-ins for what varies."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in SAYING:
                yield from texts_of(*node.args[-1:])
            for keyword in node.keywords:
                if keyword.arg in {"reason", "undefined"}:
                    yield from texts_of(keyword.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any("reason" in ast.unparse(target) for target in targets):
                yield from texts_of(node.value)
        elif isinstance(node, ast.FunctionDef) and node.name == "_no_ratio":
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield from texts_of(inner.value)


def texts_of(*nodes: ast.expr) -> Iterator[str]:
    """Literal texts of more than one word in an expression; `\\0` stands for what varies."""
    for node in nodes:
        parts = [node]
        while parts:
            part = parts.pop()
            if isinstance(part, ast.JoinedStr):
                yield "".join(
                    str(bit.value) if isinstance(bit, ast.Constant) else "\0" for bit in part.values
                )
            elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value
            elif not isinstance(part, ast.Compare):
                parts += [one for one in ast.iter_child_nodes(part) if isinstance(one, ast.expr)]


def sentences() -> set[str]:
    """All of them; a single word, a joint and a bare stand-in are none."""
    found = {
        text for path in WRITERS for text in written(ast.parse(path.read_text(encoding="utf-8")))
    }
    return {text for text in found - ANSWERS if " " in text.strip(" ;") and text.strip("\0 ;:")}


def said(text: str) -> bool:
    """Whether a page in Japanese says it, whatever stands where it varies."""
    say = Sentences(JAPANESE)
    return any(say(text.replace("\0", one)) is not None for one in STAND_INS)


def test_the_scan_finds_them():
    found = sentences()
    assert len(found) > 30
    assert "no slice has \0 examples" in found
    assert "only one class occurs, and AUC needs two" in found


@pytest.mark.parametrize("text", sorted(sentences()))
def test_every_reason_is_said_in_japanese(text: str):
    assert said(text), "add it to said.* of both catalogues"


@pytest.mark.parametrize("name", SUITES)
def test_every_contract_that_ships_is_said_in_japanese(name: str):
    suite = ExpectationSuite.load(name)
    for spec in (*suite.records, *suite.snapshot):
        expected = {key: value for key, value in spec.kwargs.items() if key != "column"}
        for raised in (False, True):
            outcome = ExpectationOutcome(
                type=spec.type,
                column=spec.kwargs.get("column"),
                severity=spec.severity,
                passed=False,
                raised=raised,
                observed={"records": 979.0, "unexpected": 12.0},
                expected=expected,
                because=spec.because,
            )
            words = Sentences(JAPANESE)(str(outcome))
            assert words is not None, str(outcome)
            assert not re.search(r"[a-z]{3,} [a-z]{3,}", str(words).replace(spec.type, ""))


def test_assumptions_and_drift_are_said_with_their_figures():
    speeds = {
        name: Measured(name, "tokens/s", True, 120.0, 100.0, 1.2, 1.1, 1.3)
        for name in ("prefill_tokens_per_second", "batched_decode_tokens_per_second")
    }
    cost = CostModel(2.5, "USD", 1e9, 2e6).of(speeds)
    told = [Sentences(JAPANESE)(one) for one in cost.assumptions]
    assert None not in told
    assert "2.5 USD" in str(told[0])
    assert "10億" in str(told[1])
    for distance, noise in ((0.3, 0.02), (0.01, 0.02), (0.05, 0.4)):
        check = DriftCheck.judged("label", "jensenshannon", 0.1, distance, noise)
        words = str(Sentences(JAPANESE)(check.reason))
        assert f"{noise:.3f}" in words or f"{distance:.3f}" in words


def test_several_reasons_are_said_one_after_the_other():
    joined = "cannot tell: it was not measured; about 1,200 examples would tell"
    assert str(Sentences(JAPANESE)(joined)).count("。") == 1
    assert Sentences(ENGLISH)(joined) == joined


def test_the_rules_that_opened_an_incident_are_said():
    known = Known(value=0.7)
    kpi = WatchedKpi(
        name="sentiment.auc",
        n=50,
        value=0.5,
        base_value=0.7,
        retention=known,
        retention_low=0.6,
        promised=Known(value=0.99),
    )
    facts = WatchFacts(
        change="line-0001",
        model="0" * 64,
        base_model="1" * 64,
        sampled=50,
        data=DataFacts(records=50, passed=False),
        data_drift=DriftFacts(against=None),
        kpis=(kpi,),
    )
    policy = parse_policy("name: trial\nmonitoring: {on_bad_data: alarm, min_of_promised: 0.9}\n")
    failed = [one for one in judge_watch(facts, policy) if not one.passed]
    assert {one.rule for one in failed} == {rule.name for rule in WATCH_RULES}
    told = "; ".join(f"{one.rule} {one.subject}" for one in failed)
    words = str(Sentences(JAPANESE)(told))
    assert "運用中の維持率：sentiment.auc（昇格時の維持率との比較）" in words
    assert "新しいデータ：" in words
    assert "_" not in str(Sentences(ENGLISH)(told))
    assert Sentences(JAPANESE)("latency got worse") is None


def test_what_is_not_ours_stays_as_it_was_written():
    assert Sentences(JAPANESE)("a rule of your own said so") is None
    assert Sentences(JAPANESE)("it was not measured; a rule of your own said so") is None


def test_hostile_figures_of_a_known_sentence_do_nothing():
    words = Sentences(JAPANESE)(
        "An id names one record for its whole life. id: <b>x 3; expected all."
    )
    assert words is None or "<b>" not in words


def test_every_fault_of_a_decision_has_its_words():
    named = re.search(r"is one of (.*)\.", " ".join((verify_decision.__doc__ or "").split()))
    assert named is not None
    for texts in (ENGLISH, JAPANESE):
        for fault in named[1].split(", "):
            assert f"fault.{fault}" in texts.entries
