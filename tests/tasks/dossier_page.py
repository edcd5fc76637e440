"""A dossier as a reader sees it: the sample, and a page taken apart."""

from html.parser import HTMLParser
from pathlib import Path

import yaml

from tasks.dossier import DossierFacts

SAMPLE = DossierFacts.model_validate(
    yaml.safe_load((Path(__file__).parent / "dossier_facts.yaml").read_text(encoding="utf-8"))
)


VOID = {"meta", "br", "input", "link", "hr"}


class Page(HTMLParser):
    """A page's elements, its text outside script and style, and the values of `<data>`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.values: list[str] = []
        self.times: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "an element was left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.elements.append((tag, named))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "data":
            self.values.append(str(named["value"]))
        if tag == "time":
            self.times.append(str(named["datetime"]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.text += data

    def count(self, tag: str) -> int:
        """How many elements of this kind there are."""
        return sum(1 for name, _ in self.elements if name == tag)
