"""What all facts are: immutable, finite, strict about their fields."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
Outcome = Literal["pass", "fail", "unknown"]
Step = int | Literal["promotion"]


class Facts(BaseModel):
    """Base of all facts: immutable, finite, and strict about the names of its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
