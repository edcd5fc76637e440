"""Look for personal data in records, and blot it out where the policy says so. Needs `avss[pii]`.

Patterns find what has a form: addresses of mail, phone, card and social security numbers, IP
addresses, German IBANs and tax numbers. Names and places have none and are not found.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from tasks.data.formats import Record
from tasks.errors import DataError

Conduct = Literal["ignore", "warn", "mask", "block"]
KINDS = (
    "EMAIL",
    "PHONE",
    "SSN",
    "CREDIT_CARD",
    "IP_ADDRESS",
    "DE_IBAN",
    "DE_TAX_ID",
    "DE_SOCIAL_SECURITY_NUMBER",
)
"""What is looked for. Dates and postal codes are left out: too much else looks like them."""
_KEPT = ("id", "label", "timestamp", "segment", "group")


class PersonalScan:
    """Goes through records one by one; `found` counts what was found, by kind.

    Args:
        parts: part -> field of the source; ids, labels, times, segments and groups are left alone.
        mask: replace what is found by its kind, as in `[EMAIL]`.

    Raises:
        DataError: the library is not installed.
    """

    def __init__(self, parts: Mapping[str, str], *, mask: bool) -> None:
        try:
            from datafog import engine
        except ImportError:
            raise DataError(
                "The policy asks for a scan for personal data (data.personal_data), and its "
                "library is not installed. Install it: pip install 'avss[pii]'."
            ) from None
        self._scan = engine.scan
        self._kept = {parts[part] for part in _KEPT if part in parts}
        self._mask = mask
        self.found: Counter[str] = Counter()

    def __call__(self, record: Record) -> Record:
        """The record, with personal data masked where that was asked for."""
        return {
            name: self._text(value) if isinstance(value, str) and name not in self._kept else value
            for name, value in record.items()
        }

    def _text(self, text: str) -> str:
        entities: list[Any] = self._scan(
            text, engine="regex", entity_types=list(KINDS), locales=["de"]
        ).entities
        self.found.update(one.type for one in entities)
        if not self._mask:
            return text
        for one in sorted(entities, key=lambda it: it.start, reverse=True):
            text = f"{text[: one.start]}[{one.type}]{text[one.end :]}"
        return text
