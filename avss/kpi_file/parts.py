"""What the kinds of KPI share: templates, slices, rare cases, prompts."""

import re
from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from avss.kpi_file.values import label_text


def template_fields(template: str) -> tuple[str, ...]:
    """The record fields that a template asks for, in order. Raises ValueError for others."""
    fields = []
    for _, field, spec, conversion in Formatter().parse(template):
        if field is None:
            continue
        if spec or conversion or not re.fullmatch(r"[^\W\d][\w -]*", field):
            raise ValueError(
                "a template may hold only plain {field} names; write literal braces as {{ and }}"
            )
        fields.append(field)
    return tuple(fields)


def _template(text: str) -> str:
    template_fields(text)
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


def _label_keys(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    keys = [label_text(key) for key in value]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"two labels mean the same value: {', '.join(twice)}")
    return dict(zip(keys, value.values(), strict=True))


Template = Annotated[str, Field(min_length=1), AfterValidator(_template)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Label = Annotated[str, Field(min_length=1)]
Labels = Annotated[dict[str, Label], BeforeValidator(_label_keys)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SliceRule(_Part):
    """A rule that names the slice of a record from one of its fields."""

    field: str = Field(description="The record's field that the rule reads.")
    by: Literal["value", "characters", "number", "month", "year", "script"] = Field(
        "value",
        description="value: the field's own value. characters: the text's length, cut at `edges`. "
        "number: a numeric field, cut at `edges`. month, year: of an ISO 8601 date. "
        "script: the writing system of most letters (Latin, Cyrillic, Japanese, ...).",
    )
    edges: tuple[float, ...] = Field(
        (), description="Rising limits for `characters` and `number`; a value on a limit is above."
    )

    @model_validator(mode="after")
    def _edges_fit(self) -> Self:
        if (self.by in ("characters", "number")) != bool(self.edges):
            raise ValueError("edges are needed for `characters` and `number`, and only there")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must rise")
        return self


class RareCases(_Part):
    """Examples that must not break: right with the base, they must stay right."""

    field: str = Field(description="The record's field that marks them, an id for example.")
    values: tuple[str | int | bool, ...] = Field(
        min_length=1, description="The field's values that mark a rare case."
    )
    budget: int = Field(0, ge=0, description="How many may break (examples); 0 is zero tolerance.")


class BaseKpi(_Part):
    """What every kind of KPI has."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Unique in the file.")
    slice_by: tuple[str | SliceRule, ...] = Field(
        (), description="Fields or rules; each of their values is reported as a slice of its own."
    )
    min_support: int = Field(
        20,
        ge=2,
        description="Fewest examples of a slice that is reported; smaller ones are counted.",
    )
    rare_cases: RareCases | None = Field(None, description="Examples that must not break.")


class PromptedKpi(BaseKpi):
    """A KPI that starts from a prompt filled with the record's fields."""

    prompt: Template = Field(description="The text before the answer; {field} is filled in.")
    chat: bool = Field(
        False,
        description="Wrap the prompt as a user's turn where the tokenizer has a chat template.",
    )
    max_tokens: int | None = Field(
        None, ge=8, description="Longest example in tokens, answer included; null: the context."
    )
    truncate: Literal["end", "start", "refuse"] = Field(
        "end",
        description="Where `truncate_field` is cut when an example is too long; refuse: an error.",
    )
    truncate_field: str | None = Field(
        None, description="The prompt's field that is cut; null: the longest one of the example."
    )

    @model_validator(mode="after")
    def _cuts_own_field(self) -> Self:
        if self.truncate_field and self.truncate_field not in template_fields(self.prompt):
            raise ValueError("truncate_field must be a field of the prompt")
        return self
