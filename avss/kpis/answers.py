"""Rules that judge one written answer, each a number between 0 and 1."""

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]|\w+")
_REFUSAL = re.compile(
    r"\b(?:i(?:'| a)?m (?:sorry|afraid|unable|not able)|i (?:can(?:'|no)?t|won't|do not|don't)"
    r" (?:help|assist|answer|provide|comply|do that|know)|as an ai\b|as a language model\b)"
    r"|申し訳(?:ありません|ございません)|お答え(?:でき|いたしかね)|お手伝いできません"
)
REPETITION_WORDS = 4
"""An answer repeats itself when some run of this many words makes up half of it or more."""


def judge(answer: str, *, expected: str | None, pattern: str | None) -> Mapping[str, float]:
    """Every generation metric of one answer, by name; those without their reference are absent."""
    found: dict[str, float] = {
        "json_valid": _is_json(answer),
        "refusal_rate": bool(_REFUSAL.search(answer.lower().replace("’", "'"))),
        "empty_rate": not answer.strip(),
        "repetition_rate": _repeats(words(answer)),
    }
    if pattern is not None:
        found["regex"] = re.search(pattern, answer) is not None
    if expected is not None:
        said, wanted = words(answer), words(expected)
        found |= {
            "exact_match": normalized(answer) == normalized(expected),
            "contains": normalized(expected) in normalized(answer),
            "token_f1": _overlap(sum((Counter(said) & Counter(wanted)).values()), said, wanted),
            "rouge_l": _overlap(_common_subsequence(said, wanted), said, wanted),
            "numeric_equal": _last_number(answer) == _last_number(expected) is not None,
        }
    return {name: float(value) for name, value in found.items()}


def normalized(text: str) -> str:
    """Unicode-folded lower case without punctuation at the ends of words, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(
        word.strip(string.punctuation + "。、！？「」") for word in folded.split()
    ).strip()


def words(text: str) -> list[str]:
    """Folded words; scripts without spaces (Chinese, Japanese, Korean) one character a word."""
    return _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


def _overlap(common: int, said: Sequence[str], wanted: Sequence[str]) -> float:
    """F1 of `common` of the words; two empty texts agree."""
    if not said and not wanted:
        return 1.0
    return 2 * common / (len(said) + len(wanted))


def _common_subsequence(one: Sequence[str], two: Sequence[str]) -> int:
    """Length of the longest common subsequence (ROUGE-L, Lin 2004)."""
    lengths = [0] * (len(two) + 1)
    for word in one:
        before = 0
        for at, other in enumerate(two, start=1):
            above = lengths[at]
            lengths[at] = before + 1 if word == other else max(above, lengths[at - 1])
            before = above
    return lengths[-1]


def _last_number(text: str) -> Decimal | None:
    numbers = _NUMBER.findall(unicodedata.normalize("NFKC", text))
    try:
        return Decimal(numbers[-1].replace(",", "")) if numbers else None
    except InvalidOperation:
        return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _repeats(said: Sequence[str]) -> bool:
    size = REPETITION_WORDS
    runs = Counter(tuple(said[at : at + size]) for at in range(len(said) - size + 1))
    most = max(runs.values(), default=0)
    return most > 1 and most * size * 2 >= len(said)
