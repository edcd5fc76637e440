"""Figures, dates and text of others, in the local form of a language."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

UNKNOWN = "–"
LONGEST_TEXT = 160
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAGNITUDES = {
    "en": ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")),
    "ja": ((1e12, "兆"), (1e8, "億"), (1e4, "万")),
}
_CURRENCIES = {
    "en": {"USD": "${}", "EUR": "€{}", "GBP": "£{}", "JPY": "¥{}"},
    "ja": {"USD": "{}ドル", "EUR": "{}ユーロ", "GBP": "{}ポンド", "JPY": "{}円"},
}
_WHOLE_CURRENCIES = frozenset({"JPY", "KRW"})
_DATES = {
    "en": "{t.day} {t:%B %Y}, {t:%H:%M} UTC",
    "ja": "{t.year}年{t.month}月{t.day}日 {t:%H:%M}（日本時間）",
}
_DAYS = {"en": "{t.day} {t:%B %Y}", "ja": "{t.year}年{t.month}月{t.day}日"}
_ZONES = {"en": UTC, "ja": ZoneInfo("Asia/Tokyo")}


def visible(text: str, longest: int = LONGEST_TEXT) -> str:
    """`text` with nothing hidden in it: control and direction marks named, the excess cut.

    A character of the Unicode classes control, format, surrogate, private, unassigned and line
    separator becomes `⟨U+202E⟩`; more than `longest` characters are cut, and their number is told.
    """
    shown = "".join(
        f"⟨U+{ord(character):04X}⟩" if unicodedata.category(character) in _HIDDEN else character
        for character in text[:longest]
    )
    return shown if len(text) <= longest else f"{shown}… (+{len(text) - longest:,})"


@dataclass(frozen=True)
class Figures:
    """Writes numbers and dates as a reader of `language` (`en` or `ja`) expects them."""

    language: str

    def number(self, value: float | None) -> str:
        """Four significant digits, fewer where they say it all, or whole from a thousand up."""
        if value is None:
            return UNKNOWN
        if value == 0 or float(value).is_integer():
            return _signed(f"{value:,.0f}")
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}" if digits <= 7 else f"{value:.3e}"
        short = text.rstrip("0") if "." in text and "e" not in text else text
        return _signed(short if float(short.replace(",", "")) == value else text)

    def percent(self, value: float | None, beside: float | None = None) -> str:
        """A fraction as percent, with as many digits as tell it from the figure `beside` it."""
        if value is None:
            return UNKNOWN
        digits = 1
        if beside is not None and value != beside:
            while digits < 4 and f"{value:.{digits + 2}f}" == f"{beside:.{digits + 2}f}":
                digits += 1
        return _signed(f"{value * 100:,.{digits}f}%")

    def change(self, ratio: float | None) -> str:
        """A ratio as signed difference: 0.87 becomes −13.0%."""
        if ratio is None:
            return UNKNOWN
        return _signed(f"{(ratio - 1) * 100:+,.1f}%")

    def large(self, value: float | None) -> str:
        """A large count in words: 135 million, 1.35億."""
        if value is None:
            return UNKNOWN
        for size, word in _MAGNITUDES[self.language]:
            if abs(value) >= size:
                return f"{self.number(value / size)}{word}"
        return self.number(value)

    def size(self, value: float | None) -> str:
        """Bytes in decimal units."""
        if value is None:
            return UNKNOWN
        units = (" TB", 1e12), (" GB", 1e9), (" MB", 1e6), (" kB", 1e3)
        for unit, scale in units:
            if abs(value) >= scale:
                return f"{self.number(value / scale)}{unit}"
        return f"{self.number(value)} B"

    def money(self, value: float | None, currency: str) -> str:
        """An amount with its currency; cents only below a hundred."""
        if value is None:
            return UNKNOWN
        whole = currency in _WHOLE_CURRENCIES or abs(value) >= 100
        amount = f"{abs(value):,.0f}" if whole else f"{abs(value):,.2f}"
        form = _CURRENCIES[self.language].get(currency, "{} " + visible(currency, 8))
        return ("−" if value < 0 else "") + form.format(amount)

    def date(self, moment: datetime | None) -> str:
        """Date and time to the minute, in the language's time zone, which is named."""
        if moment is None:
            return UNKNOWN
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _DATES[self.language].format(t=aware.astimezone(_ZONES[self.language]))

    def day(self, seconds: float) -> str:
        """The day of a moment in seconds since 1970, in the language's time zone."""
        moment = datetime.fromtimestamp(seconds, _ZONES[self.language])
        return _DAYS[self.language].format(t=moment)


def _signed(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text
