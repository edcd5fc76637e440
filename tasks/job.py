"""What every stage of a change has at hand: the run, the law, the stores, the key."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from avss.kpi_file.suite import load_kpis
from policies.policy import Policy, load_policy
from policies.roster import load_roster
from tasks import clock
from tasks.compute.engines import engine
from tasks.compute.operations import Compute
from tasks.data.sampling import stratified
from tasks.data.snapshot import Snapshot, load_manifest, read_split, restore_snapshot
from tasks.data.snapshot_manifest import SnapshotManifest
from tasks.data.source import Split
from tasks.drift.report import DriftLimits
from tasks.environment import environment
from tasks.home import cache
from tasks.models.shelf import ModelShelf
from tasks.places import Places, remember
from tasks.record.job_keys import first_key, read_job_key
from tasks.record.journal import Journal
from tasks.record.line_view import LineView
from tasks.reporting import Report, untold
from tasks.run_file import RunFile


class Job(LineView):
    """One run's hands: what the line's readers see, and the run, the models and the job's key.

    Raises:
        PolicyError, InputError, DecisionError, RunFileError: the policy, KPIs, roster or the
            job's key cannot be used.
        ComputeError: the cluster that the run asks for cannot be used.
        StorageError: S3 cannot be reached, or the ledger's bucket does not keep its promises.
        VerificationError: the line's record does not hold.
    """

    def __init__(self, run: RunFile, report: Report = untold) -> None:
        places = Places.of(run.buckets.work, run.buckets.ledger)
        super().__init__(run.line, places)
        self.run = run
        self.policy = load_policy(run.seen(run.policy))
        self.suite = load_kpis(run.seen(run.kpis) if isinstance(run.kpis, str) else run.kpis)
        self.roster = load_roster(Path(run.seen(run.approvers)))
        self.store.probe_guarantees()
        key, retention = read_job_key(), timedelta(days=self.policy.ledger.retention_days)
        first = first_key(self.store, run.line, key, clock.now() + retention)
        self.journal = Journal(self.store, run.line, first, key, retention, self.kept, report)
        self.record = self.journal
        self.models = ModelShelf(self.work, run.device)
        self.report = report
        self._snapshots: dict[str, Snapshot] = {}
        self.compute = Compute(engine(run, self.models), self.models)
        remember(run.line, places)

    def environment(self) -> str:
        """Digest of the recorded environment: packages, platform, code."""
        return self.documents.put(asdict(environment(self.compute.engine.name)))

    def snapshot(self, manifest: str) -> Snapshot:
        """The pinned snapshot of a manifest's digest, pulled again where this machine lacks it."""
        if manifest not in self._snapshots:
            found = restore_snapshot(self.manifest(manifest), cache("snapshots"))
            self._snapshots[manifest] = found
        return self._snapshots[manifest]

    def manifest(self, digest: str) -> SnapshotManifest:
        """A recorded snapshot manifest."""
        return load_manifest(self.documents.raw(digest))

    def keep_snapshot(self, snapshot: Snapshot) -> str:
        """Store a snapshot's manifest; returns its digest. Its records stay where they are."""
        digest = self.documents.put_bytes(snapshot.manifest.to_bytes())
        self._snapshots[digest] = snapshot
        return digest

    def records(self, manifest: str, split: Split) -> list[dict[str, Any]]:
        """One split's records, in their fixed pseudo-random order."""
        rows = read_split(self.snapshot(manifest), split)
        return [cast(dict[str, Any], row) for row in rows]

    def keep_page(self, change: str, name: str, page: Path) -> None:
        """Leave a library's own page in the work bucket, `reports/<change>/`; no evidence."""
        self.work.upload_file(page, f"reports/{change}/{name}")

    def drift_limits(self) -> DriftLimits:
        """The policy's thresholds as the drift checks take them."""
        return drift_limits(self.policy)

    def calibration(self, manifest: str) -> list[dict[str, Any]]:
        """The calibration records, in an order whose every beginning is a stratified sample."""
        return stratified(self.records(manifest, "calibration"))

    def texts(self, manifest: str) -> list[str]:
        """The text of the calibration records, in the same order."""
        return [row["text"] for row in self.calibration(manifest)]


def drift_limits(policy: Policy) -> DriftLimits:
    """A policy's thresholds as the drift checks take them."""
    named = policy.drift.data.model_dump() | policy.drift.scores.model_dump()
    known = {
        name: named[name]
        for name in named
        if name in DriftLimits.model_fields and named[name] is not None
    }
    return DriftLimits.model_validate(known)
