"""What the signed record says in English, said in the page's language.

Rules and checks write their reasons as sentences into the evidence, and people sign that. The
catalogue knows each sentence as a pattern (`said.*` of the English one), so that another language
can say the same with the same figures. What it does not know stays as it was written.
"""

from __future__ import annotations

import re
from functools import cache

from markupsafe import Markup

from tasks.dossier.figures import Figures, visible
from tasks.dossier.texts import Texts, load_texts

_NUMBER = r"[-−+]?[\d.,]+(?:e[-+]?\d+)?%?"
_FORMS = {
    "reason": r".+",
    "because": r".+?",
    "column": r"[\w ]+",
    "kind": r"\w+",
    "seen": r"[^;]*",
    "expected": r"[^;]*",
    "layers": r"\d+(?:, \d+)*",
    "currency": r"[A-Z]{3}",
    "rule": r"[a-z]+(?:_[a-z]+)+",
    "subject": r"[^;]+",
}
_MOST_PARTS = 4
"""Semicolons within one sentence, and one more."""
_FIGURES = re.compile(r", (?=[a-z_]+ )")


class Sentences:
    """Says sentences of the record in the language of `t`."""

    def __init__(self, t: Texts) -> None:
        self._t = t

    def __call__(self, text: str) -> Markup | None:
        """The sentence, or several that semicolons join; None where one of them is not known."""
        said = self._all(text.split("; "))
        return None if said is None else self._t("word.semicolon").join(said)

    def _all(self, parts: list[str]) -> list[Markup] | None:
        """Sentences of one part or more, the shortest that are known first."""
        if not parts:
            return []
        for end in range(1, min(len(parts), _MOST_PARTS) + 1):
            first = self._one("; ".join(parts[:end]))
            if first is not None and (rest := self._all(parts[end:])) is not None:
                return [first, *rest]
        return None

    def _one(self, text: str) -> Markup | None:
        for name, pattern in _patterns():
            found = pattern.fullmatch(text)
            if found is None:
                continue
            values = {place: self._value(place, seen) for place, seen in found.groupdict().items()}
            if None not in values.values():
                return self._t(f"said.{name}", **values)
        return None

    def _value(self, place: str, text: str) -> Markup | str | None:
        if place in ("reason", "because"):
            return self(text)
        if place == "column":
            return self._t.known(f"term.{text}", text)
        if place == "rule":
            return self._t(f"rule.{text}") if f"rule.{text}" in self._t.entries else None
        if place == "subject":
            return self._t.known(f"drift_name.{text}", text)
        if place in ("seen", "expected"):
            return self._figures(text)
        return Figures(self._t.language).large(float(text)) if "e+" in text else text

    def _figures(self, text: str) -> Markup:
        """`min_value 3, mostly 0.98` with its names in the page's language."""
        told = []
        for figure in _FIGURES.split(text):
            name, _, value = figure.partition(" ")
            term = self._t.known(f"term.{name}", name)
            told.append(term + f" {visible(value)}" if value else self._t("term.all"))
        return self._t("word.comma").join(told)


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Name and pattern of each sentence; those with least left open come first."""
    texts = {
        key.removeprefix("said."): text
        for key, text in load_texts("en").entries.items()
        if key.startswith("said.")
    }
    return tuple(
        (name, re.compile(re.sub(r"\\\{(\w+)\\\}", _place, re.escape(text))))
        for name, text in sorted(texts.items(), key=lambda item: item[1].count("{"))
    )


def _place(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>{_FORMS.get(found[1], _NUMBER)})"
