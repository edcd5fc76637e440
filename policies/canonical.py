"""One byte form for every record: RFC 8785 canonical JSON, and the digest over it."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Never

import rfc8785
from pydantic import BaseModel

from policies.errors import LawError


def canonical_bytes(value: object) -> bytes:
    """The RFC 8785 form of plain JSON values or of a pydantic model.

    Raises LawError for what JSON cannot hold exactly (NaN, infinity, integers beyond 2^53, lone
    surrogates, other types), naming its place as in `$.kpis[2].value`.
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    try:
        return rfc8785.dumps(plain)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, RecursionError):
        place = _first_unfit(plain, "$") or "$"
        raise LawError(
            f"{place} cannot be recorded: expected text, booleans, integers below 2^53 "
            "and finite numbers. Record null with a reason for what could not be measured."
        ) from None


def digest(value: object) -> str:
    """SHA-256 (hex) of bytes as they are, or of the canonical form of anything else."""
    content = value if isinstance(value, bytes) else canonical_bytes(value)
    return hashlib.sha256(content).hexdigest()


def parse_json(content: bytes) -> Any:
    """JSON values, refusing what readers disagree on: repeated keys, NaN, infinity, not UTF-8.

    Raises ValueError, without any of the content in its message.
    """
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_number,
        )
    except (ValueError, RecursionError):
        raise ValueError("not JSON in one reading") from None


def parse_canonical(content: bytes) -> Any:
    """JSON values of bytes that are in canonical form. Raises ValueError where they are not."""
    parsed = parse_json(content)
    try:
        same = canonical_bytes(parsed) == content
    except LawError:
        same = False
    if not same:
        raise ValueError("not in canonical form (RFC 8785)")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _number(digits: str) -> int | float:
    """RFC 8785 writes every number as a double does; beyond 2^53 only a double reads it back."""
    return int(digits) if len(digits) < 16 or abs(int(digits)) < 2**53 else float(digits)


def _no_constant(_: str) -> Never:
    raise ValueError("not a finite number")


def _first_unfit(value: object, place: str, depth: int = 0) -> str | None:
    if depth > 100:
        return place
    if isinstance(value, Mapping):
        inner = [(f"{place}.{key}", part) for key, part in value.items()]
        if not all(isinstance(key, str) for key in value):
            return place
    elif isinstance(value, list | tuple):
        inner = [(f"{place}[{at}]", part) for at, part in enumerate(value)]
    else:
        return None if _fits(value) else place
    return next((bad for at, part in inner if (bad := _first_unfit(part, at, depth + 1))), None)


def _fits(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, int):
        return abs(value) < 2**53
    return isinstance(value, float) and math.isfinite(value)
