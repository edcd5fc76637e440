"""Whether what was written can work: files, people, data, model and buckets, each tried."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from avss.kpi_file.parts import template_fields
from avss.kpi_file.suite import load_kpis
from policies.consistency import contradictions
from policies.policy import load_policy
from policies.roster import load_roster
from tasks import clock
from tasks.data.formats import Record
from tasks.doctor import Check, ledger_bucket, tried, work_bucket
from tasks.errors import RunFileError
from tasks.run_file import RunFile
from tasks.s3.storage import ObjectStore

_ANY_DEPTH = 24
"""Layers that are assumed where the model's own number cannot be read before it is fetched."""


def check_beginning(run_file: Path, records: Sequence[Record]) -> list[Check]:
    """Every part of a run file and what it names, tried; `records` are a sample of its data."""
    run = RunFile.load(run_file)
    trials: list[tuple[str, Callable[[], str], str]] = [
        ("data", lambda: _data(run, records), ""),
        ("KPIs", lambda: _kpis(run, records), ""),
        ("policy and people", lambda: _people(run), "Edit policy.yaml or approvers.yaml."),
        ("model", lambda: _model(run), ""),
        (
            "work bucket",
            lambda: work_bucket(run.buckets.work),
            "The job needs Get, Put, List and DeleteObject there. Check AWS_ENDPOINT_URL and keys.",
        ),
        (
            "ledger bucket",
            lambda: ledger_bucket(run.buckets.ledger),
            "Create the bucket with Object Lock, on a server that enforces it and If-None-Match.",
        ),
    ]
    return [tried(name, trial, advice) for name, trial, advice in trials]


def _data(run: RunFile, records: Sequence[Record]) -> str:
    known = {name for record in records for name in record}
    for part, field in run.data.fields.mapped().items():
        if field not in known:
            raise RunFileError(f"data.fields.{part}: there is no field {field!r}.")
    return f"{run.data.uri}: {len(records)} records looked at, every field is there"


def _kpis(run: RunFile, records: Sequence[Record]) -> str:
    suite = load_kpis(run.seen(str(run.kpis)))
    known = {name for record in records for name in record} | set(run.data.fields.mapped())
    for kpi in suite.kpis:
        for field in _named(kpi):
            if field not in known:
                raise RunFileError(f"KPI {kpi.name}: no record has the field {field!r}.")
    return ", ".join(f"{kpi.name}.{metric}" for kpi in suite.kpis for metric in kpi.metrics)


def _named(kpi: Any) -> list[str]:
    templates = [getattr(kpi, name, None) for name in ("prompt", "text")]
    fields = [field for text in templates if text for field in template_fields(text)]
    target = getattr(kpi, "target", None)
    return [*fields, *([target] if target else []), *(s for s in kpi.slice_by if type(s) is str)]


def _people(run: RunFile) -> str:
    policy = load_policy(run.seen(run.policy))
    roster = load_roster(Path(run.seen(run.approvers)))
    suite = load_kpis(run.seen(str(run.kpis)))
    found = contradictions(
        policy,
        roster,
        line=run.line,
        requester=run.requester,
        kpis=[f"{kpi.name}.{metric}" for kpi in suite.kpis for metric in kpi.metrics],
        original_layers=_depth(Path(run.seen(run.model.source))) or _ANY_DEPTH,
        now=clock.now(),
    )
    if found:
        raise RunFileError(" ".join(found))
    return f"policy {policy.name}, {len(roster.people)} people"


def _model(run: RunFile) -> str:
    source = run.seen(run.model.source)
    if source.startswith("s3://"):
        store = ObjectStore.at(source)
        if next(iter(store.list()), None) is None:
            raise RunFileError(f"model.source: {source} holds nothing.")
        return f"{source} is there"
    path = Path(source)
    if path.is_dir() and not (path / "config.json").is_file():
        raise RunFileError(f"model.source: {source} holds no config.json.")
    if path.exists():
        depth = _depth(path)
        return f"{source}: {depth} layers" if depth else f"{source} is there"
    if source.count("/") == 1 and not source.startswith((".", "/")):
        return f"{source} is taken for a hub id; the first run fetches it"
    raise RunFileError(f"model.source: there is no {source}.")


def _depth(folder: Path) -> int | None:
    """Layers that a local folder's configuration names."""
    config = folder / "config.json"
    if not config.is_file():
        return None
    found = json.loads(config.read_text(encoding="utf-8")).get("num_hidden_layers")
    return found if isinstance(found, int) else None
