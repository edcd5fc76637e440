"""Numbers and kinds that stand for a text, so that contracts and drift never hold the text."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache
from types import ModuleType

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_FAULT = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|Ã[\x80-\xbf]|â€|Â[\xa0-\xbf]")
_SCRIPT_SAMPLE = 400
_LANGUAGE_SAMPLE = 2000
_NO_EVIDENCE = -1e30
"""What py3langid answers for a text of which no piece tells a language."""


def words(text: str) -> list[str]:
    """The text's words, case folded; digits and punctuation are none."""
    return [word.casefold() for word in _WORD.findall(text)]


def encoding_faults(text: str) -> int:
    """How many traces of a wrong decoding: U+FFFD, control characters, UTF-8 read as Latin-1."""
    return len(_FAULT.findall(text))


@lru_cache(maxsize=4096)
def main_script(text: str) -> str:
    """The script of most of the first letters (LATIN, CYRILLIC, CJK ...), or NONE."""
    letters = Counter(_script(char) for char in text[:_SCRIPT_SAMPLE] if char.isalpha())
    return letters.most_common(1)[0][0] if letters else "NONE"


@lru_cache(maxsize=4096)
def language(text: str) -> str:
    """The language that most of the text is in, as ISO 639-1 has it; `unknown` where none shows."""
    found, evidence = _languages().classify(text[:_LANGUAGE_SAMPLE])
    return str(found) if evidence > _NO_EVIDENCE else "unknown"


def unknown_shares(texts: Iterable[str], frequencies: Counter[str], *, own: bool) -> list[float]:
    """The share of each text's words that the reference's texts do not use.

    Args:
        texts: the texts.
        frequencies: in how many of the reference's texts a word stands.
        own: the texts are the reference's: a word is known if another text has it too.
    """
    needed = 2 if own else 1
    shares = []
    for text in texts:
        found = words(text)
        unknown = sum(frequencies[word] < needed for word in found)
        shares.append(unknown / len(found) if found else 0.0)
    return shares


def document_frequencies(texts: Iterable[str]) -> Counter[str]:
    """In how many texts each word stands."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(words(text)))
    return counts


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    return unicodedata.name(char, "NONE").split(" ", 1)[0].split("-", 1)[0]


@cache
def _languages() -> ModuleType:
    """Imported where it is used: its model takes a second to load."""
    import py3langid

    return py3langid
