"""What every record and file of this room is made of: frozen models and shared field types."""

import difflib
import unicodedata
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

LINE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"


class Frozen(BaseModel):
    """Immutable, finite, and strict about the names of its fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


def rfc3339(time: datetime) -> str:
    """`2026-03-01T09:30:00Z`, with microseconds only where there are any."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


Time = Annotated[
    AwareDatetime,
    AfterValidator(lambda time: time.astimezone(UTC)),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
LineName = Annotated[str, Field(pattern=LINE_PATTERN)]
ChangeId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}-[0-9]{4,}$")]
Layer = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Ordinal = Annotated[int, Field(ge=1)]
Step = Ordinal | Literal["promotion"]
MoveKind = Literal["rollback", "promote"]
"""Ways to move the alias of the version in use by hand."""
Asked = Step | Literal["alias"]
"""What people can be asked about: a step, the promotion, or a move of the alias by hand."""
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


def plain(text: str) -> str:
    """Text of others as it may stand in a sentence of ours.

    What moves a terminal's cursor, breaks the line or is not seen (control and format characters)
    is spelled out, so that nobody's name or reason can pose as a line of a report.
    """
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def faults_of(error: ValidationError, model: type[BaseModel]) -> tuple[str, ...]:
    """One sentence a wrong field: its place, what was expected, the nearest known name.

    Values are left out on purpose: a file may hold what must not reach a log.
    """
    return tuple(_sentence(fault["loc"], fault, model) for fault in error.errors())


def nearest(name: str, known: Collection[str]) -> str:
    """Advice for a name that does not exist: the nearest one that does, or all."""
    near = difflib.get_close_matches(name, sorted(known), 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(known))}."


def _sentence(place: tuple[int | str, ...], fault: Any, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in place) or "the file"
    if fault["type"] == "extra_forbidden":
        advice = nearest(str(place[-1]), _names_at(model, place[:-1]))
        return f"{where}: there is no such field; {advice}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}."


def _names_at(model: type[BaseModel], place: Iterable[int | str]) -> set[str]:
    """The field names that are known where `place` leads, through optional and nested models."""
    here: set[type[BaseModel]] = {model}
    for part in place:
        inner = {
            found
            for one in here
            for found in _models_in(
                one.model_fields[part].annotation if part in one.model_fields else None
            )
        }
        here = inner or here
    return {name for one in here for name in one.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for part in get_args(annotation) for found in _models_in(part)}
