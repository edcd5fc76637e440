"""No text of the dossier is missing, unused, or fits only one language."""

import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

import tasks.dossier
from policies.policy_sections import DataDriftLimits, OutputDriftLimits, ScoreDriftLimits
from policies.rules import RULES
from policies.watching import WATCH_RULES
from tasks.data.splits import SPLITS
from tasks.dossier.facts.data import DriftFact
from tasks.dossier.facts.decision import PolicyPoint, UnknownFact
from tasks.dossier.resources import SIZES, TIMES
from tasks.dossier.texts import LANGUAGES, load_texts

ROOT = Path(tasks.dossier.__file__).parent
CATALOGUES = {language: load_texts(language).entries for language in LANGUAGES}
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted(ROOT.rglob("*"))
    if path.suffix in {".py", ".j2"}
)
PLURALS = (".one", ".other")


def stem(key: str) -> str:
    """A key without its number."""
    return next((key.removesuffix(p) for p in PLURALS if key.endswith(p)), key)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_catalogue_has_the_same_texts(language: str) -> None:
    wanted = {stem(key) for entries in CATALOGUES.values() for key in entries}
    assert {stem(key) for key in CATALOGUES[language]} == wanted


def test_translations_fill_in_the_same_values() -> None:
    values: dict[str, set[frozenset[str]]] = {}
    for entries in CATALOGUES.values():
        for key, text in entries.items():
            if not key.endswith(".one"):
                names = frozenset(name for _, name, _, _ in Formatter().parse(text) if name)
                values.setdefault(stem(key), set()).add(names)
    assert {key: names for key, names in values.items() if len(names) > 1} == {}


def test_every_text_is_used() -> None:
    families = set(re.findall(r'"([a-z_]+\.(?:[a-z]+_)*)" ~', SOURCES))
    families |= set(re.findall(r'f"([a-z_]+\.(?:[a-z]+_)*)\{', SOURCES)) | {"column."}
    unused = {
        stem(key)
        for key in CATALOGUES["en"]
        if f'"{stem(key)}"' not in SOURCES
        and f"'{stem(key)}'" not in SOURCES
        and not any(key.startswith(family) for family in families)
    }
    assert unused == set()


def test_every_column_text_is_used() -> None:
    used = set(re.findall(r'\("(?:number|wide|plotted)?", "([a-z_]+)"\)', SOURCES))
    drawn = {"cost", "size", "speed"}
    texts = {key.removeprefix("column.") for key in CATALOGUES["en"] if key.startswith("column.")}
    assert texts == used | drawn


def test_every_literal_key_has_a_text() -> None:
    keys = set(re.findall(r"""\bt\(\s*["']([a-z_.]+)["']\s*[,)]""", SOURCES))
    known = {stem(key) for key in CATALOGUES["en"]}
    assert keys - known == set()
    assert len(keys) > 80


def kinds(model: type, field: str) -> set[str]:
    return set(get_args(model.model_fields[field].annotation))  # type: ignore[attr-defined]


def of(family: str) -> set[str]:
    """The names that the catalogue knows in a family."""
    prefix = f"{family}."
    return {stem(key).removeprefix(prefix) for key in CATALOGUES["en"] if key.startswith(prefix)}


def test_every_rule_unknown_point_drift_and_resource_has_a_text() -> None:
    assert of("rule") == {rule.name for rule in (*RULES, *WATCH_RULES)}
    assert of("unknown") >= kinds(UnknownFact, "kind")
    points = kinds(PolicyPoint, "kind")
    assert {name.removeprefix("any_") for name in of("policy")} == points
    assert of("drift") == kinds(DriftFact, "kind")
    limits = (DataDriftLimits, ScoreDriftLimits, OutputDriftLimits)
    measures = {name for one in limits for name in one.model_fields}
    assert of("drift_name") == measures - {"confidence", "unsure", "on_alarm"}
    assert of("resource") >= {*SIZES, *TIMES}
    assert of("split") == set(SPLITS)


def test_japanese_is_japanese() -> None:
    latin_only = {
        key for key, text in CATALOGUES["ja"].items() if re.fullmatch(r"[\x20-\x7e]+", text)
    }
    assert latin_only <= {
        "page.title",
        "section.kpis",
        "word.name",
        "column.kpi",
        "column.avss",
        "column.block_influence",
        "term.id",
    }
