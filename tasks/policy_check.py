"""Does a policy fit what it will be used with? Asked before a run, of as much as is known."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from policies.consistency import contradictions
from policies.policy import Policy
from policies.roster import Roster, load_roster
from tasks.run_file import RunFile


@dataclass(frozen=True)
class PolicyCheck:
    """What was held against a policy, and what contradicts it."""

    policy: str
    digest: str
    contradictions: tuple[str, ...]
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]
    """What was not given, and how to give it."""

    @property
    def fits(self) -> bool:
        """Whether nothing contradicts."""
        return not self.contradictions

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"fits": self.fits}


@dataclass(frozen=True)
class Known:
    """What the policy will be used with, as far as it is known."""

    line: str | None = None
    requester: str | None = None
    roster: Roster | None = None
    kpis: tuple[str, ...] | None = None
    """Metrics, as `<kpi>.<metric>`."""
    layers: int | None = None
    """Of the original model."""


def known_of(
    config: Path | None, approvers: Path | None, kpis: Path | None, layers: int | None
) -> Known:
    """Read what is given; what is named by itself wins over the run file's.

    Raises:
        RunFileError, PolicyError, InputError: a file that cannot be used.
    """
    run = RunFile.load(config) if config else None
    roster_path = approvers or (Path(run.seen(run.approvers)) if run else None)
    source = (
        str(kpis)
        if kpis
        else run and (run.seen(run.kpis) if isinstance(run.kpis, str) else run.kpis)
    )
    return Known(
        line=run.line if run else None,
        requester=run.requester if run else None,
        roster=load_roster(roster_path) if roster_path else None,
        kpis=_metrics(source) if source else None,
        layers=layers,
    )


def check_policy(policy: Policy, known: Known) -> PolicyCheck:
    """Hold a policy against what is known."""
    parts = {
        "the roster: enough people for every quorum (--approvers or --config)": known.roster,
        "the KPI file: every gate's metric exists (--kpis or --config)": known.kpis,
        "the model: some layer may go, protected layers exist (--layers)": known.layers,
    }
    return PolicyCheck(
        policy=policy.name,
        digest=policy.digest,
        contradictions=tuple(
            contradictions(
                policy,
                known.roster,
                line=known.line,
                requester=known.requester,
                kpis=known.kpis,
                original_layers=known.layers,
                now=datetime.now(UTC),
            )
        ),
        checked=(
            "the policy itself: fields, values, and whether they go together",
            *(name.partition(" (")[0] for name, given in parts.items() if given is not None),
        ),
        not_checked=tuple(name for name, given in parts.items() if given is None),
    )


def _metrics(source: str | dict[str, Any]) -> tuple[str, ...]:
    from avss.kpi_file.suite import load_kpis

    suite = load_kpis(source)
    return tuple(f"{kpi.name}.{metric}" for kpi in suite.kpis for metric in kpi.metrics)
