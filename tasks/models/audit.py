"""MLflow and S3 against the record: whatever moved behind our back is named.

The record is the truth. MLflow's versions, tags and aliases are compared with it, and every file
of every version is read through and compared by its SHA-256.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

from avss.digests import MANIFEST_NAME, digest_of_files
from policies.lifecycle import ChangeState, State
from tasks.models.aliases import expected_aliases, is_moving, version_tags
from tasks.models.card import MODEL
from tasks.models.registering import version_files
from tasks.models.registry import DIGEST, ModelVersion, Registry
from tasks.record.line_view import LineView
from tasks.reporting import Report, told, untold
from tasks.s3.storage import ObjectStore

_READERS = 4


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the record says."""

    kind: Literal["version", "tag", "alias", "file"]
    subject: str
    """The version, alias or object."""
    message: str


@dataclass(frozen=True)
class AuditReport:
    """What was compared, and what was found."""

    line: str
    entries: int
    """Of the record, to which MLflow and S3 were compared."""
    versions: int
    files: int
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether everything is as the record says."""
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"clean": self.clean}


def audit_line(
    view: LineView, registry: Registry | None = None, report: Report = untold
) -> AuditReport:
    """Compare a line's registry and files with its record, which is read anew from its bucket.

    `report` is told how many entries and versions are read through.

    Raises:
        RegistryError, StorageError: MLflow or S3 cannot be read.
        VerificationError: the record itself does not hold.
    """
    registry, state = registry or Registry(), view.state
    made = _recorded(state)
    kept = {one.version: one for one in registry.versions(view.line)}
    looks = [one.registered for one in made.values() if one.registered]
    total = state.length + len(looks)
    view.record.reread(lambda done, _: report(done, total))
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda it: _files(view.work, it.model, it.files), looks)
        files = [one for each in told(found, total, report, before=state.length) for one in each]
    findings = (
        *_versions(view, state, made, kept),
        *_aliases(state, registry.aliases(view.line)),
        *(found for found in files if found is not None),
    )
    return AuditReport(view.line, state.length, len(made), len(files), findings)


def damaged_files(
    work: ObjectStore, digest: str, files: Mapping[str, str]
) -> Iterator[Finding | None]:
    """One item a file of a version: None where it is as recorded.

    Args:
        work: the work bucket.
        digest: of the model.
        files: SHA-256 by key, as recorded when it was registered; none where a version is older
            than that: then the digest of its published folder covers them all.
    """
    if not files:
        yield _whole(work, digest)
        return
    store = version_files(work, digest)
    there = {item.key for item in store.list()}
    for key, sha in sorted(files.items()):
        if key not in there:
            yield _file(store, key, "is gone")
        else:
            yield None if store.digest_of(key) == sha else _file(store, key, "was altered")
    yield from (_file(store, key, "was added") for key in sorted(there - set(files)))


def _recorded(state: State) -> dict[str, ChangeState]:
    """The change behind each version; the last one where several led to the same model."""
    known = [*(one.change for one in state.closed), *([state.change] if state.change else [])]
    return {one.registered.version: one for one in known if one.registered}


def _versions(
    view: LineView, state: State, made: Mapping[str, ChangeState], kept: Mapping[str, ModelVersion]
) -> Iterator[Finding]:
    change = state.change
    coming = change.model if change and change.holdout and not change.registered else None
    for number, change in made.items():
        subject, found = f"{view.line} version {number}", kept.get(number)
        if found is None:
            yield Finding("version", subject, "was deleted from MLflow")
            continue
        if change.registered and found.uri != change.registered.uri:
            yield Finding("version", subject, f"points at {found.uri}, recorded: another address")
        expected = {DIGEST: change.model} | version_tags(view.documents, change)
        for tag, value in expected.items():
            if found.tags.get(tag) != value:
                said = found.tags.get(tag) or "nothing"
                yield Finding("tag", subject, f"{tag} says {said[:80]}, recorded: {value[:80]}")
    for number, version in kept.items():
        if number not in made and version.digest != coming:
            yield Finding(
                "version", f"{view.line} version {number}", "is in MLflow and not in the record"
            )


def _aliases(state: State, found: Mapping[str, str]) -> Iterator[Finding]:
    if is_moving(state):
        return
    expected = expected_aliases(state)
    for alias in sorted(expected.keys() | found.keys()):
        should, does = expected.get(alias), found.get(alias)
        if should != does:
            where = f"points at version {does}" if does else "is gone"
            recorded = f"version {should}" if should else "no such alias"
            yield Finding("alias", alias, f"{where}, recorded: {recorded}")


def _files(work: ObjectStore, digest: str, files: Mapping[str, str]) -> list[Finding | None]:
    """The version's files and those of the published folder that it was made of."""
    if not files:
        return list(damaged_files(work, digest, files))
    folder = work.below(f"models/{digest}")
    there = {item.key for item in folder.list()}
    if f"{MODEL}{MANIFEST_NAME}" not in files:
        there -= {MANIFEST_NAME}
    named = {key.removeprefix(MODEL): sha for key, sha in files.items() if key.startswith(MODEL)}
    found = list(damaged_files(work, digest, files))
    for key in sorted(named.keys() | there):
        sha = folder.digest_of(key) if key in there else None
        fault = "is gone" if sha is None else "was altered" if key in named else "was added"
        found.append(None if named.get(key) == sha else _file(folder, key, fault))
    return found


def _whole(work: ObjectStore, digest: str) -> Finding | None:
    folder = work.below(f"models/{digest}")
    there = {item.key for item in folder.list()} - {MANIFEST_NAME}
    same = there and digest_of_files({key: folder.digest_of(key) for key in there}) == digest
    return None if same else Finding("file", folder.uri(), "is not the registered model")


def _file(store: ObjectStore, key: str, what: str) -> Finding:
    return Finding("file", store.uri(key), what)
