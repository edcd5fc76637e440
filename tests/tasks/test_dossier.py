"""The page shows the facts, all of them, in both languages, whatever they are."""

import re
from itertools import chain
from typing import Any

import pytest

from tasks.dossier import DossierFacts, render
from tasks.dossier.facts.choice import LayerFact
from tasks.dossier.facts.quality import (
    ExampleFact,
    KpiFact,
    SliceFact,
    VerdictFact,
)
from tasks.dossier.figures import LONGEST_TEXT
from tasks.dossier.render import LONGEST_ANSWER
from tasks.dossier.texts import LANGUAGES, load_texts
from tasks.errors import TaskError
from tests.tasks.dossier_page import SAMPLE, Page

MOST_BYTES = 1_500_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_figure_of_the_facts_stands_in_the_page_exactly(language: str) -> None:
    page = Page(render(SAMPLE, language))
    shown = {float(value) for value in page.values}
    rows: tuple[Any, ...] = (
        *SAMPLE.kpis,
        *SAMPLE.slices,
        *SAMPLE.drift,
        *SAMPLE.probes,
        *SAMPLE.outputs,
        *SAMPLE.profile,
    )
    fields = ("base", "before", "after", "retention", "retention_low", "limit", "n", "loss")
    for row in rows:
        for field in (*fields, "value", "same", "differ", "changed", "divergence", "ratio"):
            value = getattr(row, field, None)
            assert value is None or value in shown, (row, field)
    assert SAMPLE.cost is not None
    assert SAMPLE.cost.saved_month in shown
    assert SAMPLE.ask.expires is not None
    assert SAMPLE.ask.expires.isoformat() in page.times
    for item in SAMPLE.digests:
        assert item.digest in page.text


@pytest.mark.parametrize(
    ("language", "no_text"), [("en", "does not allow texts"), ("ja", "件数のみを示します")]
)
def test_answers_stand_side_by_side_where_the_policy_allows_text_else_counts(
    language: str, no_text: str
) -> None:
    shown, t = render(SAMPLE, language), load_texts(language)
    text = " ".join(Page(shown).text.split())
    for example in SAMPLE.examples:
        for told in (*example.asked.split("\n"), example.base, example.candidate):
            assert told in text
    assert shown.count('<p class="asked">') == 3
    assert no_text not in text
    counts = Page(render(SAMPLE.model_copy(update={"examples": ()}), language))
    assert no_text in counts.text
    assert {"397", "15", "41", "19"} <= set(counts.values)
    assert "headaches" not in counts.text
    notes = [t("page.with_texts"), t("page.no_texts")]
    assert [[note in page for note in notes] for page in (text, counts.text)] == [
        [True, False],
        [False, True],
    ]


def test_more_examples_than_a_reader_opens_at_once_are_folded() -> None:
    many = SAMPLE.model_copy(update={"examples": SAMPLE.examples * 9})
    outputs = render(many).split('id="outputs"')[1].split("</section>")[0]
    assert outputs.split("<details>")[0].count('<p class="asked">') == 12
    assert outputs.count('<p class="asked">') == 27
    assert "15 more examples" in outputs


def test_answers_are_long_enough_to_read_and_the_page_stays_small() -> None:
    answer = "a sentence that goes on " * 40
    bad = ExampleFact(kpi="k", asked=answer, base=answer, candidate="\u202e" * 9_000)
    html = render(SAMPLE.model_copy(update={"examples": (bad,) * 400}))
    assert answer.strip() in " ".join(Page(html).text.split())
    assert "⟨U+202E⟩" in html
    assert "\u202e" not in html
    assert len(html.encode()) < 1_500_000


def test_the_page_rounds_as_it_says() -> None:
    html = render(SAMPLE)
    assert '<data value="0.8906">89.1%</data>' in html
    assert '<data value="1240.0">$1,240</data>' in html
    assert '<data value="39.96">39.96</data>' in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_commands_and_the_digest_they_sign_stand_in_the_first_section(language: str) -> None:
    ask = render(SAMPLE, language).split('id="model"')[0]
    for verb in ("approve", "reject"):
        command = ask.split(f"avss {verb} support-chat-0007 --step 4 --key PATH --reason")[1]
        assert f"--evidence {SAMPLE.evidence}" in command.split("</code>")[0]
    assert SAMPLE.evidence in ask


@pytest.mark.parametrize(("language", "words"), [("en", "OVERRIDE THE RULES"), ("ja", "例外承認")])
def test_an_override_is_loud_and_nothing_else_claims_to_be_one(language: str, words: str) -> None:
    override = SAMPLE.model_copy(update={"ask": SAMPLE.ask.model_copy(update={"override": True})})
    loud = render(override, language).split('id="model"')[0]
    assert words in loud
    assert 'class="override" role="alert"' in loud
    assert 'role="alert"' not in render(SAMPLE, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_asks_nothing_of_any_network_and_runs_only_our_script(language: str) -> None:
    html = render(SAMPLE, language)
    page = Page(html)
    for tag, attributes in page.elements:
        assert tag not in {"img", "link", "iframe", "object", "form", "base"}
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "#").startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html
    assert page.count("script") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_made_for_readers_who_do_not_see_it(language: str) -> None:
    page = Page(render(SAMPLE, language))
    assert ("html", {"lang": language}) in page.elements
    assert page.count("main") == page.count("h1") == page.count("nav") == 1
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        if tag == "th":
            assert attributes["scope"] in {"row", "col"}
        if tag == "svg" and "aria-hidden" not in attributes and "overflow" not in attributes:
            assert attributes["role"] == "img"
            assert set(str(attributes["aria-labelledby"]).split()) <= set(ids)
        if (attributes.get("href") or "").startswith("#"):
            assert str(attributes["href"])[1:] in ids
    assert page.count("table") == page.count("caption")


HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}{x}\u202e\u0000\u200b\x1b[31m" + "A" * 10_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_text_is_shown_and_does_nothing(language: str) -> None:
    hostile = _with_every_text(SAMPLE.model_dump(), HOSTILE)
    html = render(DossierFacts.model_validate(hostile), language)
    page = Page(html)
    assert page.count("script") == 1
    assert "⟨U+202E⟩⟨U+0000⟩⟨U+200B⟩⟨U+001B⟩" in page.text
    assert not re.search("[\u0000\u001b\u200b\u202a-\u202e\u2066-\u2069]", html)
    assert "A" * (LONGEST_ANSWER + 1) not in html
    rest = re.sub(r'(?s)<ul class="pairs">.*?</ul>', "", html)
    assert "A" * (LONGEST_TEXT + 1) not in rest
    assert "{{7*7}}" in page.text
    assert len(html.encode()) < MOST_BYTES


def _with_every_text(value: Any, text: str, name: str = "") -> Any:
    """The same facts with `text` in place of every free text."""
    if isinstance(value, dict):
        return {key: _with_every_text(inner, text, key) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_with_every_text(inner, text, name) for inner in value)
    fixed = {"kind", "state", "outcome", "decision", "step"}
    return text if isinstance(value, str) and name not in fixed else value


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("part", sorted(set(DossierFacts.model_fields) - {"line"}))
def test_any_part_may_be_missing(part: str, language: str) -> None:
    without = DossierFacts.model_validate(SAMPLE.model_dump(exclude={part}))
    Page(render(without, language))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_line_with_no_change_has_nothing_to_decide(language: str) -> None:
    page = Page(render(DossierFacts(line="support"), language))
    assert "support" in page.text
    assert "avss approve" not in page.text


@pytest.mark.parametrize("layers", [1, 200])
def test_any_depth_of_model_is_drawn(layers: int) -> None:
    strip = tuple(
        LayerFact(index=i, state="proposed" if i == layers - 1 else "kept", avss=1.0, share=1 / 200)
        for i in range(layers)
    )
    html = render(SAMPLE.model_copy(update={"layers": strip, "original_layers": layers}))
    assert html.count('<g class="layer ') == layers
    assert len(html.encode()) < MOST_BYTES


def test_hundreds_of_slices_worst_first_under_the_size_limit() -> None:
    slices = tuple(
        SliceFact(kpi="k.accuracy", slice=f"s={i}", n=i, retention=1 - i / 1000, retention_low=None)
        for i in range(500)
    )
    html = render(SAMPLE.model_copy(update={"slices": slices}))
    assert html.index("s=499<") < html.index("s=498<") < html.index("s=200<")
    assert "100 more are in the evidence." in html
    assert len(html.encode()) < MOST_BYTES


def test_a_kpi_without_limits_is_shown_without_a_promise() -> None:
    bare = KpiFact(name="k.accuracy", n=10, base=0.8, after=0.7, retention=0.875)
    html = render(SAMPLE.model_copy(update={"kpis": (bare,), "slices": ()}))
    assert "keeps about 87.5%" in html
    assert "87.5% of the base model&#39;s result, and at least" not in html


def test_rules_that_are_not_met_come_first() -> None:
    verdicts = tuple(
        VerdictFact(rule="latency", subject=word, outcome=word)  # type: ignore[arg-type]
        for word in ("pass", "unknown", "fail")
    )
    html = render(SAMPLE.model_copy(update={"verdicts": verdicts}))
    rules = html.split('id="rules"')[1]
    order = re.findall(r'<tr class="(pass|unknown|fail)"', rules.split("</table>")[0])
    assert order == ["fail", "unknown", "pass"]


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(TaskError, match="en, ja"):
        render(SAMPLE, "xx")


def test_sentences_of_the_manager_are_four_and_numbers_three() -> None:
    manager = render(SAMPLE).split('id="manager"')[1].split("</section>")[0]
    page = Page(f"<div>{manager.split('>', 1)[1]}</div>")
    assert page.text.count("Worst KPI keeps") == 1
    assert len(list(chain(re.findall(r'<p class="value">', manager)))) == 3
    assert len(re.findall("<li>", manager.split('<ol class="sentences">')[1])) == 4
