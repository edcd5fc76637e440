"""What finished changes left behind and nobody needs any more: found by the record, then deleted.

Kept always: the record, evidence, dossiers, approvals, every registered version with the base that
it is measured against, and whatever an open change or the version in use rests on. What no record
names is never touched: it may be somebody else's.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from policies.policy_sections import Storage
from policies.schema import rfc3339
from tasks import clock
from tasks.home import home
from tasks.keeping import Use, uses_of_lines
from tasks.places import Places
from tasks.reporting import Report, told, untold
from tasks.s3.storage import ObjectStore

Kind = Literal["model", "cached model", "cached snapshot"]


@dataclass(frozen=True)
class Leftover:
    """One thing that may go: where it is, how large, and why."""

    kind: Kind
    digest: str
    address: str
    objects: int
    bytes: int
    change: str
    """The change that used it last."""
    ended: str
    """When that was over."""
    why: str


@dataclass(frozen=True)
class CleaningPlan:
    """What would go now, over all lines of a ledger."""

    lines: tuple[str, ...]
    models_kept: int
    leftovers: tuple[Leftover, ...]

    @property
    def bytes(self) -> int:
        """What would be freed."""
        return sum(one.bytes for one in self.leftovers)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"bytes": self.bytes}


def plan_cleaning(places: Places, report: Report = untold) -> CleaningPlan:
    """Find what may go, by the policy of each line's last change. Deletes nothing.

    What several lines or changes named goes when the last of them lets it go; of a line that a run
    works on, nothing goes. `report` is told how many lines are read.

    Raises:
        StorageError: S3 cannot be read.
        VerificationError: a record does not hold; then nothing is safe to delete.
    """
    lines = uses_of_lines(places, report)
    models = [use for line in lines for use in line.models]
    snapshots = [use for line in lines for use in line.snapshots]
    work = ObjectStore(places.work)
    found = [
        *(left for use in _over(models) for left in _model_left(use, work)),
        *(left for use in _over(snapshots) for left in _snapshot_left(use)),
    ]
    needed = {use.digest for use in models if use.ended is None}
    ordered = sorted(found, key=lambda one: one.address)
    return CleaningPlan(tuple(line.name for line in lines), len(needed), tuple(ordered))


def clean(plan: CleaningPlan, work: ObjectStore, report: Report = untold) -> None:
    """Delete what the plan names. Safe to repeat.

    Raises:
        StorageError: S3 is unreachable or denies.
    """
    for one in told(plan.leftovers, len(plan.leftovers), report):
        if one.kind != "model":
            shutil.rmtree(one.address, ignore_errors=True)
            continue
        folder = work.below(f"models/{one.digest}")
        for item in list(folder.list()):
            folder.delete(item.key)


def candidate_days(places: Places, report: Report = untold) -> int:
    """The longest that a policy of any line keeps models which are no version.

    Before there is a line: what a policy says that says nothing of it.

    Raises:
        StorageError, VerificationError: as `plan_cleaning`.
    """
    lines = uses_of_lines(places, report)
    return max((it.storage.candidate_days for it in lines), default=Storage().candidate_days)


def lifecycle_rules(candidate_days: int) -> list[dict[str, Any]]:
    """Rules of the work bucket for what no job sees: parts of uploads, versions that were deleted.

    In a bucket with versioning a deleted model stays as an old version until these let it go.
    """
    return [
        {
            "ID": "avss-unfinished-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {
            "ID": "avss-deleted-models",
            "Status": "Enabled",
            "Filter": {"Prefix": "models/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": candidate_days},
        },
    ]


def _over(uses: Iterable[Use]) -> list[Use]:
    """Of each digest that nothing keeps any more, the use that kept it longest."""
    now, longest = clock.now(), {use.digest: use for use in sorted(uses, key=lambda it: it.until)}
    return [use for use in longest.values() if use.until <= now]


def _model_left(use: Use, work: ObjectStore) -> Iterator[Leftover]:
    folder = work.below(f"models/{use.digest}")
    sizes = [item.size for item in folder.list()]
    if sizes:
        yield _leftover("model", folder.uri(), sizes, use)
    yield from _on_disk("cached model", home() / "cache" / "models" / use.digest, use)


def _snapshot_left(use: Use) -> Iterator[Leftover]:
    folder = home() / "cache" / "snapshots" / "snapshots" / use.digest
    return _on_disk("cached snapshot", folder, use)


def _on_disk(kind: Kind, folder: Path, use: Use) -> Iterator[Leftover]:
    if folder.is_dir():
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        yield _leftover(kind, str(folder), sizes, use)


def _leftover(kind: Kind, address: str, sizes: Sequence[int], use: Use) -> Leftover:
    ended = rfc3339(use.ended) if use.ended else ""
    return Leftover(kind, use.digest, address, len(sizes), sum(sizes), use.change, ended, use.why)
