"""The pages of a whole recorded change: what they show are the figures of the signed evidence."""

import re

import pytest

from tasks.places import Places
from tasks.record.index_page import index_facts, index_of
from tasks.record.line_view import LineView
from tasks.record.pages import page_of
from tasks.record.site import address_of, page_name, publish, publish_index


@pytest.fixture
def view(recorded) -> LineView:
    return LineView(recorded.line, Places(recorded.work, recorded.ledger))


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_important_numbers_of_a_page_are_those_of_the_evidence(view, recorded, language):
    change = view.change(recorded.change)
    steps = [*(step.number for step in change.approved_steps), "promotion"]
    assert len(steps) > 2
    for step in steps:
        digest = view.evidence_digest(change, step)
        evidence = view.documents.get(digest)
        page = page_of(view, change, step, language)
        shown = {float(value) for value in re.findall(r'<data value="([^"]+)"', page)}
        told = [
            kpi[part]
            for kpi in evidence["measurements"]["kpis"]
            for part in ("n", "value", "base_value", "retention", "retention_low")
        ]
        told += [one["limit"] for one in evidence["verdicts"] if one["rule"] == "kpi_retention"]
        sizes = evidence["measurements"]["resources"]
        told += [sizes[name]["value"] for name in ("parameters", "money_per_month")]
        for value in told:
            assert value is None or any(abs(value - one) <= 1e-12 for one in shown), value
        for name in ("policy", "base_model", "candidate_model"):
            assert evidence[name] in page
        assert f"--evidence {digest}" in page
        assert len(page.encode()) < 1_500_000


def test_the_index_tells_the_line_as_its_record_does(view, recorded):
    facts = index_facts(view)
    (change,) = facts.changes
    holdout = view.change(recorded.change).holdout
    kpis = view.documents.get(holdout.measurements)["kpis"]
    assert change.worst_retention_low == min(kpi["retention_low"] for kpi in kpis)
    assert (change.ending, change.layers_removed) == ("promoted", 3)
    assert facts.live_version == change.version == "1"
    profile = view.documents.get(view.documents.get(holdout.evidence)["documents"]["profile"])
    assert profile["cost"] is None  # the demo names no prices
    assert (facts.saved_month, facts.saved_so_far) == (None, None)
    assert f'href="{recorded.change}/promotion.html"' in index_of(view, "en")


def test_pages_are_published_where_the_index_links_to(view, recorded, tmp_path, monkeypatch):
    monkeypatch.setenv("AVSS_HOME", str(tmp_path))
    publish_index(view)
    index = view.work.below("dossiers").get(f"{recorded.line}/index.html").decode()
    assert index == index_of(view)
    name = page_name(recorded.change, "promotion")
    assert f'href="{name}"' in index
    path, address = publish(view, name, "<p>page")
    assert path.read_text() == "<p>page"
    assert address == address_of(view, name)
    assert address == f"s3://{recorded.work}/dossiers/{recorded.line}/{name}"
