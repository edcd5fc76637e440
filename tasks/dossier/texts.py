"""The texts of the dossier, one catalogue a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from markupsafe import Markup, escape

from tasks.dossier.figures import visible
from tasks.errors import TaskError

LANGUAGES = ("en", "ja")


@dataclass(frozen=True)
class Texts:
    """Looks up texts by dotted key and fills in their values, escaped."""

    language: str
    entries: Mapping[str, str]

    def __call__(self, key: str, /, **values: Any) -> Markup:
        """The text of `key`; with `n`, its singular `key.one` where n is 1 and there is one.

        Raises KeyError for a key that the catalogue lacks, which is a mistake of ours.
        """
        singular = f"{key}.one"
        chosen = singular if values.get("n") in (1, "1") and singular in self.entries else key
        text = self.entries[chosen] if chosen in self.entries else self.entries[f"{key}.other"]
        return escape(text).format(**{name: shown(v) for name, v in values.items()})

    def known(self, key: str, otherwise: str) -> Markup:
        """The text of `key`, or `otherwise` (somebody else's name for a thing) made safe."""
        return self(key) if key in self.entries else escape(visible(otherwise))


def shown(value: object) -> object:
    """`value` as it may enter the page: text that is not ours made visible and short."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def load_texts(language: str) -> Texts:
    """The catalogue of `language`.

    Raises TaskError for a language that the dossier does not speak.
    """
    if language not in LANGUAGES:
        raise TaskError(f"language is {language!r}; the dossier speaks {', '.join(LANGUAGES)}")
    source = files("tasks.dossier") / "catalogues" / f"{language}.yaml"
    return Texts(language, dict(_flat(yaml.safe_load(source.read_text(encoding="utf-8")))))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat += _flat(value, f"{name}.")
        elif isinstance(value, str):
            flat.append((name, value))
        else:
            raise TaskError(f"catalogue text {name} is no text; put it in quotes")
    return flat
