"""A change as the terminal tells it: one telling for every type of entry, from the record alone.

Because nothing but the record is told, the same words come from a live run, from the ledger a year
later and from an evidence pack.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from flows.render import kpi_table, number, percent, ranking_table, table, verdict
from policies import entries as said
from policies.entries import Entry
from policies.schema import plain

Fetch = Callable[[str], Any]
"""The parsed document of a digest."""


class Narrator:
    """Tells entries in order on a console; remembers only when the last one was."""

    def __init__(self, console: Console, fetch: Fetch) -> None:
        self._console = console
        self._fetch = fetch
        self._last: Entry | None = None

    def tell(self, entry: Entry) -> None:
        """One entry: a headline with what it took, and what is behind it."""
        headline, *details = TELLINGS[type(entry.body)](entry.body, self._fetch)
        same = self._last is not None and self._last.change == entry.change
        took = entry.time - self._last.time if self._last and same else None
        self._last = entry
        if isinstance(headline, Text) and not headline.plain:
            self._console.print()
            headline, *details = details
        self._console.print(_headline(headline, took))
        for detail in details:
            self._console.print(Padding(detail, (0, 0, 0, 2), expand=False))

    def tell_all(self, entries: Iterable[Entry]) -> None:
        """A whole record."""
        for entry in entries:
            self.tell(entry)


def _headline(text: RenderableType, took: timedelta | None) -> RenderableType:
    if not isinstance(text, Text):
        return text
    seconds = took.total_seconds() if took else 0.0
    return text + Text(f"  {seconds:.0f} s", style="dim") if seconds >= 1 else text


Telling = tuple[RenderableType, ...]


def _stage(name: str, what: str, *, style: str = "bold") -> Text:
    return Text.assemble((f"{name:<10}", style), what)


def _opened(body: said.ChangeOpened, fetch: Fetch) -> Telling:
    run, policy = fetch(body.run), fetch(body.policy)
    return (
        _stage(
            "open", f"line {run['line']}, asked for by {plain(body.requester)}", style="bold cyan"
        ),
        f"base model {body.base_model[:12]}, {len(body.kept_layers)} of {body.original_layers} "
        f"layers; policy {escape(policy['name'])} ({body.policy[:12]})",
    )


def _pinned(body: said.SnapshotPinned, fetch: Fetch) -> Telling:
    manifest = fetch(body.manifest)
    splits = ", ".join(f"{it['records']} {name}" for name, it in manifest["splits"].items())
    objects = len(manifest["objects"])
    return (_stage("snapshot", f"{body.records} records of {objects} objects: {splits}"),)


def _validated(body: said.DataValidated, fetch: Fetch) -> Telling:
    report = fetch(body.report)
    met = sum(one["passed"] for one in report["expectations"])
    headline = _stage("contract", f"{met} of {len(report['expectations'])} expectations met  ")
    faults = [Text(f"✗ {one}", style="red") for one in body.failures]
    warnings = [Text(f"! {one}", style="yellow") for one in body.warnings]
    return (headline + verdict(body.passed), *faults, *warnings)


def _drift(body: said.DriftChecked, fetch: Fetch) -> Telling:
    report = fetch(body.report)
    if body.against is None:
        return (_stage("drift", "no earlier approved snapshot to compare with"),)
    headline = _stage("drift", f"{len(report['checks'])} checks against {body.against[:12]}  ")
    return (
        headline + verdict(body.passed, "no alarm", "DRIFT"),
        *(Text(f"✗ {one}", style="red") for one in body.alarms),
    )


def _base(body: said.BaseMeasured, fetch: Fetch) -> Telling:
    outcomes = fetch(body.report)
    measured = ", ".join(f"{kpi['name']} on {len(kpi['records'])}" for kpi in outcomes["kpis"])
    return (_stage("base", f"measured: {measured} examples"),)


def _ranked(body: said.LayersRanked, fetch: Fetch) -> Telling:
    scores = fetch(body.scores)
    return (
        Text(""),
        _stage(f"step {body.step}", "layers ranked", style="bold cyan"),
        ranking_table(scores, limit=8, marked=body.shortlist),
    )


def _probed(body: said.ShortlistProbed, fetch: Fetch) -> Telling:
    found = fetch(body.probe)
    losses = found.get("losses", {})
    told = ", ".join(f"{layer} ({number(losses.get(str(layer)))})" for layer in body.order)
    cost = ""
    if "forward_equivalents" in found:
        cost = (
            f"; {found['forward_equivalents']:.1f} forward passes{_scoring(found)}, "
            f"exhaustive search {found['sleb_forward_equivalents']:.1f}"
        )
    return (_stage("probe", f"loss without each layer: {told}{cost}"),)


def _scoring(probe: Mapping[str, Any]) -> str:
    passes = probe.get("scoring_forward_equivalents")
    return "" if passes is None else f" and {passes:.1f} of scoring"


def _built(body: said.CandidateBuilt, fetch: Fetch) -> Telling:
    report = fetch(body.build)
    what = f"layer {body.layer} taken out, attempt {body.attempt}, healing: {body.healing}"
    if report.get("loss_after") is not None:
        before, after = report["loss_before"], report["loss_after"]
        what += f", held-out loss {number(before)} → {number(after)}"
    ways = [f"{way['method']}: {way['reason']}" for way in _hindered(report)]
    told = ways or report.get("warnings", ())  # older reports say no reasons
    return (
        _stage("cut", f"{what}; reload proven, model {body.model[:12]}"),
        *(Text(f"! {one}", style="yellow") for one in told),
    )


def _hindered(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The ways of healing that something stood in the way of."""
    return [way for way in (report, *report.get("tried", ())) if way.get("reason")]


def _measured(body: said.CandidateMeasured, fetch: Fetch) -> Telling:
    found = fetch(body.measurements)
    resources = found["resources"]
    speed = resources["prefill_seconds"]["value"]
    told = f"bytes {percent(resources['bytes_on_disk']['value'])} of the base"
    if speed is not None:
        told += f", prefill time {percent(speed)}"
    kpis = [kpi | {"reason": kpi["reason"] or None} for kpi in found["kpis"]]
    return (_stage("measure", told), kpi_table(kpis, worst_slices=2))


def _judged(body: said.CandidateJudged, fetch: Fetch) -> Telling:
    return (_verdicts("gate", body.passed, body.verdicts, _DISCARDED), *_failures(body.verdicts))


_DISCARDED = "REFUSED, the candidate is discarded"


def _verdicts(name: str, passed: bool, verdicts: tuple[Any, ...], no: str) -> Text:
    held = sum(one.passed for one in verdicts)
    said_so = verdict(passed, "passes", no)
    return _stage(name, f"{held} of {len(verdicts)} verdicts hold  ") + said_so


def _failures(verdicts: tuple[Any, ...]) -> list[RenderableType]:
    failed = [one for one in verdicts if not one.passed]
    if not failed:
        return []
    made = table("rule", "subject", "seen", "limit", "", right=("seen", "limit"))
    for one in failed:
        made.add_row(
            Text(one.rule, style="red"),
            escape(one.subject),
            number(one.observed),
            number(one.limit),
            escape(one.reason),
        )
    return [made]


def _asked(body: said.DecisionRequested, fetch: Fetch) -> Telling:
    what = "the promotion" if body.step == "promotion" else f"step {body.step}"
    until = body.expires.strftime("%Y-%m-%d %H:%M UTC")
    told = _stage("ask", f"a decision on {what} ")
    if body.override:
        told += Text("TO OVERRIDE THE RULES ", style="bold red")
    return (
        told + Text(f"is asked for, until {until}"),
        Text(f"evidence {body.evidence}", style="dim"),
    )


def _answered(body: said.Answer, fetch: Fetch) -> Telling:
    if body.valid:
        return (
            _stage("answer", f"{plain(body.approver or '')}: {body.decision}, signature valid"),
        )
    return (_stage("answer", f"does not count: {body.fault}", style="bold red"),)


def _settled(body: said.Settled, fetch: Fetch) -> Telling:
    approved = isinstance(body, said.StepApproved)
    what = "promotion" if body.step == "promotion" else f"step {body.step}"
    words = {said.StepRejected: "REJECTED", said.StepExpired: "EXPIRED"}
    told = verdict(approved, "approved", words.get(type(body), ""))
    said_so = _stage("decision", f"{what}: {plain(body.reason)}  ") + told
    if approved and body.overrides:
        said_so += Text("  OVERRIDE OF THE RULES", style="bold red")
    return (said_so,)


def _ended(body: said.StepsEnded, fetch: Fetch) -> Telling:
    return (Text(""), _stage("steps end", body.detail, style="bold cyan"))


def _confirmed(body: said.HoldoutConfirmed, fetch: Fetch) -> Telling:
    kpis = fetch(body.measurements)["kpis"]
    return (
        _verdicts("holdout", body.passed, body.verdicts, "NOT CONFIRMED"),
        kpi_table(kpis, worst_slices=1),
        *_failures(body.verdicts),
    )


def _registered(body: said.ModelRegistered, fetch: Fetch) -> Telling:
    return (_stage("register", f"{body.name} version {body.version}, model {body.model[:12]}"),)


def _promoted(body: said.ModelPromoted, fetch: Fetch) -> Telling:
    before = f", was version {body.previous_version}" if body.previous_version else ""
    return (_stage("promote", f"{body.alias} is now version {body.version}{before}"),)


def _closed(body: said.ChangeClosed, fetch: Fetch) -> Telling:
    good = body.outcome in ("promoted", "nothing_to_do")
    told = verdict(good, body.outcome.replace("_", " "), body.outcome.replace("_", " ").upper())
    return (_stage("close", "") + told + Text(f"  {plain(body.reason)}"),)


def _roster(body: said.RosterChanged, fetch: Fetch) -> Telling:
    return (_stage("roster", f"changed to {body.roster[:12]}", style="bold yellow"),)


def _job_key(body: said.JobKeyChanged, fetch: Fetch) -> Telling:
    return (_stage("job key", f"changed: {plain(body.reason)}", style="bold yellow"),)


def _resumed(body: said.RunResumed, fetch: Fetch) -> Telling:
    return (_stage("resume", f"another run goes on at: {body.at}", style="bold yellow"),)


def _fault(body: said.FaultRecorded, fetch: Fetch) -> Telling:
    return (_stage("fault", f"{body.stage}: {body.error}: {body.message}", style="bold red"),)


def _move_asked(body: said.AliasRequested, fetch: Fetch) -> Telling:
    move, until = body.move, body.expires.strftime("%Y-%m-%d %H:%M UTC")
    before = f" from version {move.from_version}" if move.from_version else ""
    return (
        _stage(
            move.action,
            f"{move.requester} asks to go{before} to version {move.version}, until {until}",
            style="bold cyan",
        ),
        Text(move.reason),
        Text(f"evidence {body.evidence}", style="dim"),
    )


def _moved(body: said.AliasMoved, fetch: Fetch) -> Telling:
    told = _stage("alias", f"{body.alias} is now version {body.version}  ")
    return (told + verdict(True, body.reason),)


def _kept(body: said.AliasKept, fetch: Fetch) -> Telling:
    told = _stage("alias", f"stays where it is: {body.reason}  ")
    return (told + verdict(False, "", body.outcome.upper()),)


def _checked(body: said.MonitorChecked, fetch: Fetch) -> Telling:
    facts = fetch(body.facts)
    kpis = [
        kpi | {"retention": kpi["retention"]["value"], "reason": kpi["retention"]["reason"]}
        for kpi in facts["kpis"]
    ]
    return (
        _verdicts("monitor", body.passed, body.verdicts, "BELOW ITS FLOOR"),
        f"version {body.version} on {facts['sampled']} fresh records",
        kpi_table(kpis, worst_slices=0),
        *_failures(body.verdicts),
    )


def _incident(body: said.IncidentOpened, fetch: Fetch) -> Telling:
    told = f"{body.number} opened on version {body.version}: {body.reason}"
    return (_stage("incident", told, style="bold red"),)


def _incident_over(body: said.IncidentClosed, fetch: Fetch) -> Telling:
    return (_stage("incident", f"{body.number} ended: {body.reason}"),)


TELLINGS: dict[type[said.Body], Callable[[Any, Fetch], Telling]] = {
    said.ChangeOpened: _opened,
    said.SnapshotPinned: _pinned,
    said.DataValidated: _validated,
    said.DriftChecked: _drift,
    said.BaseMeasured: _base,
    said.LayersRanked: _ranked,
    said.ShortlistProbed: _probed,
    said.CandidateBuilt: _built,
    said.CandidateMeasured: _measured,
    said.CandidateJudged: _judged,
    said.DecisionRequested: _asked,
    said.DecisionRecorded: _answered,
    said.StepApproved: _settled,
    said.StepRejected: _settled,
    said.StepExpired: _settled,
    said.StepsEnded: _ended,
    said.HoldoutConfirmed: _confirmed,
    said.ModelRegistered: _registered,
    said.ModelPromoted: _promoted,
    said.ChangeClosed: _closed,
    said.RosterChanged: _roster,
    said.JobKeyChanged: _job_key,
    said.RunResumed: _resumed,
    said.FaultRecorded: _fault,
    said.MonitorChecked: _checked,
    said.IncidentOpened: _incident,
    said.IncidentClosed: _incident_over,
    said.AliasRequested: _move_asked,
    said.AliasAnswered: _answered,
    said.AliasMoved: _moved,
    said.AliasKept: _kept,
}
