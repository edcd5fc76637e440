"""What a snapshot is, without a word of its text: objects, versions, digests, counts."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.data.source import DataSource, Split


class PinnedObject(BaseModel):
    """One object of the source as it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    version_id: str | None = Field(description="None where the bucket keeps no versions.")
    size: int = Field(ge=0, description="Bytes.")
    sha256: str
    records: int = Field(ge=0)


class Dropped(BaseModel):
    """Records that were read but not kept, and what was odd in those that were."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    empty_text: int = Field(ge=0)
    duplicates: int = Field(ge=0, description="Same normalized text as a kept record.")
    label_conflicts: int = Field(ge=0, description="Texts that stand there with several labels.")
    unreadable_timestamps: int = Field(ge=0, description="Kept, with an empty timestamp.")


class SplitDigest(BaseModel):
    """One split: how many records, and the SHA-256 over their canonical lines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records: int = Field(ge=0)
    sha256: str


class PersonalData(BaseModel):
    """What a scan for personal data found: counts, never what it found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    masked: bool = Field(description="Whether the records hold kinds in place of what was found.")
    found: dict[str, int] = Field(description="Kind -> how often, in the records with text.")


class SnapshotManifest(BaseModel):
    """The business data of a change, pinned; enough to pull it again and to know it is the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = "avss-snapshot-1"
    source: DataSource
    versioned: bool = Field(description="Whether every object can be pulled again by version.")
    objects: tuple[PinnedObject, ...]
    read: int = Field(ge=0, description="Records in the objects.")
    records: int = Field(ge=0, description="Records kept.")
    dropped: Dropped
    splits: dict[Split, SplitDigest]
    personal_data: PersonalData | None = Field(None, description="None where nobody looked.")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; manifests from before there was a scan keep their bytes."""
        nobody_looked = {"personal_data"} if self.personal_data is None else set()
        return self.model_dump(mode="json", exclude=nobody_looked)

    def to_bytes(self) -> bytes:
        """Canonical bytes; their SHA-256 is the snapshot's digest."""
        text = json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return text.encode("utf-8")
