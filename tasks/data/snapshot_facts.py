"""What a data contract may ask about a snapshot as a whole."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.data.snapshot_manifest import SnapshotManifest


@dataclass(frozen=True)
class SnapshotFacts:
    """One value a fact; None where it does not apply. Shares are of the records read."""

    records: int
    smallest_split: int
    empty_share: float
    duplicate_share: float
    label_conflict_share: float
    unreadable_timestamp_share: float
    records_against_last: float | None
    """Records, divided by those of the last approved snapshot."""
    labels: int | None
    rarest_label_share: float | None
    newest_age_days: float | None
    versioned: bool | None = None
    """Whether the bucket keeps versions, so that the snapshot can be pulled again."""
    main_language_share: float | None = None
    """Share of the records in the most common language."""
    changed_during_pull: int = 0
    """Objects that got a newer version while the pinned ones were pulled."""


def snapshot_facts(
    manifest: SnapshotManifest,
    labels: Sequence[str] | None,
    ages: Sequence[float],
    previous: SnapshotManifest | None,
    languages: Sequence[str] = (),
    changed_during_pull: int = 0,
) -> SnapshotFacts:
    """Gather the facts.

    Args:
        manifest: the snapshot's.
        labels: of its records that have one; None where no label is mapped.
        ages: of its records in days, or none.
        previous: the last approved snapshot's.
        languages: of its records.
        changed_during_pull: how many objects did.
    """
    read = max(manifest.read, 1)
    counts = Counter(labels or ()).values()
    return SnapshotFacts(
        records=manifest.records,
        smallest_split=min(split.records for split in manifest.splits.values()),
        empty_share=manifest.dropped.empty_text / read,
        duplicate_share=manifest.dropped.duplicates / read,
        label_conflict_share=manifest.dropped.label_conflicts / read,
        unreadable_timestamp_share=manifest.dropped.unreadable_timestamps / read,
        records_against_last=manifest.records / previous.records if previous else None,
        labels=None if labels is None else len(counts),
        rarest_label_share=min(counts) / sum(counts) if counts else None,
        newest_age_days=min(ages, default=None),
        versioned=manifest.versioned if manifest.source.uri.startswith("s3://") else None,
        main_language_share=_largest_share(languages),
        changed_during_pull=changed_during_pull,
    )


def _largest_share(kinds: Sequence[str]) -> float | None:
    return max(Counter(kinds).values()) / len(kinds) if kinds else None
