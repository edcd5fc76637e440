"""What a drift check looks at: columns of both sets, then numbers and categories of both."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tasks.data.splits import normalized
from tasks.data.text_features import (
    document_frequencies,
    language,
    main_script,
    unknown_shares,
)

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

Columns = Mapping[str, Sequence[Any]]

NUMBERS = ("text_length", "unknown_words")
KINDS = ("script", "language", "time", "label", "segment")
MAPPED = ("label", "segment")
_RARE = 20
_OTHER, _MISSING = "(other)", "(none)"


def columns_of(dataset: "Dataset", most: int) -> Columns:
    """The first `most` records (their order is fair) as lists: text, and what else is mapped."""
    part = dataset.select(range(min(most, len(dataset))))
    wanted = ("text", "timestamp", *MAPPED)
    return {name: list(part[name]) for name in wanted if name in part.column_names}


def frames_of(
    now: Columns, then: Columns, names: Sequence[str]
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """What Evidently sees of both sets: numbers and categories."""
    import pandas as pd

    frequencies = document_frequencies(then["text"])
    old = {normalized(text) for text in then["text"]}
    timed = "time" in names
    made: list[dict[str, Any]] = []
    for columns in (now, then):
        texts = columns["text"]
        fresh = unknown_shares(texts, frequencies, own=False)
        owned = unknown_shares(texts, frequencies, own=True)
        made.append(
            {
                "text_length": [float(len(text)) for text in texts],
                "unknown_words": [
                    mine if normalized(text) in old else theirs
                    for text, mine, theirs in zip(texts, owned, fresh, strict=True)
                ],
                "script": [main_script(text) for text in texts],
                "language": [language(text) for text in texts],
                **({"time": [_weekday(it) for it in columns["timestamp"]]} if timed else {}),
                **{name: columns[name] for name in MAPPED if name in names},
            }
        )
    for name in set(KINDS) & set(names):
        common = _common(made[0][name], made[1][name])
        for values in made:
            values[name] = [_folded(value, common) for value in values[name]]
    return pd.DataFrame(made[0]), pd.DataFrame(made[1])


def _weekday(timestamp: str | None) -> str | None:
    """The day of the week (UTC), a pattern that stays when data grows."""
    return f"{datetime.fromisoformat(timestamp):%a}" if timestamp else None


def _common(now: Sequence[str | None], then: Sequence[str | None]) -> set[str | None]:
    counts = Counter([*now, *then])
    return {value for value, count in counts.items() if count >= _RARE}


def _folded(value: str | None, common: set[str | None]) -> str:
    """Categories too rare to compare are one category."""
    if value is None:
        return _MISSING
    return value if value in common else _OTHER
