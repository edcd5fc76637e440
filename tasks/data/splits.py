"""Which split a record belongs to: a function of its id alone, so it stays when the data grows."""

import hashlib
import unicodedata

from tasks.data.source import Split, SplitShares

SPLITS: tuple[Split, ...] = ("calibration", "validation", "holdout")
_RANGE = 2**63


def normalized(text: str) -> str:
    """The text as compared for duplicates: Unicode NFKC, case folded, spaces run together."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def place_of(key: str) -> int:
    """A key's place in [0, 2**63), spread evenly; the lowest places are calibration.

    Of records with one normalized text the snapshot keeps the one with the lowest place. When
    data grows, that place can only fall: a text may leave the holdout, but what was once read in
    calibration never turns up in a later holdout.
    """
    return _hashed(key, b"avss-split")


def order_of(key: str) -> int:
    """A key's rank in the order in which records are read, spread evenly over [0, 2**63).

    Another hash than `place_of`: the first n records of a split are a fair sample of it.
    """
    return _hashed(key, b"avss-order")


def split_at(place: int, shares: SplitShares) -> Split:
    """The split that holds a place."""
    share = place / _RANGE
    if share < shares.calibration:
        return "calibration"
    return "validation" if share < shares.calibration + shares.validation else "holdout"


def _hashed(key: str, purpose: bytes) -> int:
    digest = hashlib.blake2b(key.encode("utf-8"), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "big") >> 1
