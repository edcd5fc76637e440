"""Where the business data lies and what its fields mean: the `data:` part of a run file."""

from datetime import date
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Format = Literal["auto", "jsonl", "csv", "tsv", "parquet"]
Split = Literal["calibration", "validation", "holdout"]


class Fields(BaseModel):
    """Which field of the source plays which part; the parts become columns of the snapshot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, description="The text that the model reads.")
    id: str | None = Field(
        None,
        min_length=1,
        description="Names a record for its whole life; without one, the text names it.",
    )
    label: str | None = Field(None, min_length=1, description="The class of the record.")
    timestamp: str | None = Field(None, min_length=1, description="When the record came to be.")
    segment: str | None = Field(None, min_length=1, description="The business segment.")
    answer: str | None = Field(None, min_length=1, description="The expected answer.")
    group: str | None = Field(
        None,
        min_length=1,
        description="Records that share it (one customer's, say) share a split.",
    )

    def mapped(self) -> dict[str, str]:
        """Part -> field of the source, for the parts that are named."""
        return {part: field for part, field in self if field is not None}


class SplitShares(BaseModel):
    """Share of the records that each split gets; the three add up to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calibration: float = Field(0.3, gt=0, lt=1, description="Read by scores and healing.")
    validation: float = Field(0.4, gt=0, lt=1, description="Read by the gates of every step.")
    holdout: float = Field(0.3, gt=0, lt=1, description="Read once, before registration.")

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.calibration + self.validation + self.holdout
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the three shares add up to {total:g}; make it 1")
        return self


class DataSource(BaseModel):
    """Business data in S3 (or a local file or folder) and how to read it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(min_length=1, description="s3://bucket/prefix, or a local file or folder.")
    format: Format = Field(
        "auto", description="auto goes by the file's name: reviews.jsonl, reviews.csv.gz ..."
    )
    fields: Fields
    match: str | None = Field(
        None,
        min_length=1,
        description="Keep only objects whose key below the uri matches this glob; ** crosses /.",
    )
    since: date | Literal["last_approved"] | None = Field(
        None,
        description="Keep only objects of this day (UTC) or later (see `last_days`); or, with "
        "`last_approved`, what no approved change of the line has read yet: new keys and new "
        "versions.",
    )
    last_days: int | None = Field(
        None,
        ge=1,
        description="Keep only objects of the last N days (UTC): by a date in the key "
        "(2026-03-31, 2026/03/31, year=2026/month=03), else by when the object was written.",
    )
    timestamp_format: str | None = Field(
        None,
        min_length=1,
        description="How timestamps are written, as strptime has it; without it, ISO 8601 or "
        "seconds since 1970. Times without a zone are UTC.",
    )
    splits: SplitShares = Field(default_factory=SplitShares, description="Sizes of the splits.")
