"""What the terminal shows: rankings with bars, retention with limits, verdicts in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_BAR_WIDTH = 24
_BLOCKS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int = _BAR_WIDTH) -> str:
    """A horizontal bar; `share` in 0..1 of `width` cells, in steps of an eighth."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_BLOCKS[rest] if rest else "")


def number(value: float | None, digits: int = 4, dash: str = "–") -> str:
    """A figure for a table; a dash where it could not be measured."""
    return dash if value is None else f"{value:.{digits}g}"


def verdict(passed: bool, yes: str = "pass", no: str = "FAIL") -> Text:
    """A verdict that colour-blind readers and log files understand as well."""
    return Text(f"✓ {yes}", style="green") if passed else Text(f"✗ {no}", style="bold red")


def table(*columns: str, title: str | None = None, right: Sequence[str] = ()) -> Table:
    """A plain table in the house's look; columns named in `right` are figures."""
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None
    )
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left")
    return made


def ranking_table(
    scores: Mapping[str, Any], *, limit: int | None = None, marked: Sequence[int] = ()
) -> RenderableType:
    """The ranking of `score --format json`, least important first.

    Args:
        scores: the JSON contract of `avss score`.
        limit: show only this many layers.
        marked: layers to mark, such as a short-list.
    """
    layers = {layer["index"]: layer for layer in scores["layers"]}
    ranking = scores["ranking"]
    largest = max((layer["avss"] for layer in layers.values()), default=0.0) or 1.0
    figures = ("layer", "AVSS", "share", "cumulative", "block influence")
    made = table("", *figures, "", title="Layers, least important first", right=figures)
    for place in ranking[:limit]:
        layer = layers[place["index"]]
        made.add_row(
            "▸" if layer["index"] in marked else "",
            str(layer["index"]),
            number(layer["avss"]) + ("*" if layer["floored"] else ""),
            percent(layer["share"], 3),
            percent(place["cumulative_share"], 3),
            number(layer["block_influence"], 3),
            Text(bar(layer["avss"] / largest), style="cyan"),
        )
    notes = [
        f"source {scores['source']}, epsilon {scores['epsilon']:g}, "
        f"{scores['records']:,} records, {scores['tokens']:,} tokens"
    ]
    if stability := scores.get("stability"):
        notes.append(
            "rankings of two halves of the records agree to Kendall's tau "
            f"{number(stability['kendall_tau'], 2)}"
        )
    if limit is not None and len(ranking) > limit:
        notes.append(f"… and {len(ranking) - limit} more important layers")
    if any(layers[place["index"]]["floored"] for place in ranking[:limit]):
        notes.append("* sparsity was below what the sample can show; AVSS is a lower bound")
    return Group(made, *(Text(note, style="dim") for note in notes))


def kpi_table(kpis: Sequence[Mapping[str, Any]], *, worst_slices: int = 3) -> RenderableType:
    """KPIs of `evaluate --format json`: retention with its lower limit, and the worst slices."""
    figures = ("n", "value", "base", "retention", "at least")
    made = table("KPI", *figures, "", right=figures)
    for kpi in kpis:
        made.add_row(escape(kpi["name"]), *_kpi_figures(kpi), escape(str(kpi.get("reason") or "")))
        for part in _worst(kpi.get("slices", ()), worst_slices):
            name = Text(f"  {part['slice']}", style="dim")
            made.add_row(name, *_kpi_figures(part), escape(str(part.get("reason") or "")))
    return made


def gate_table(gate: Mapping[str, Any]) -> RenderableType:
    """The verdicts of `evaluate --min-retention`, those that do not pass first."""
    figures = ("seen", "limit")
    made = table("judged", *figures, "", "", right=figures)
    order = sorted(gate["verdicts"], key=lambda one: one["verdict"] == "pass")
    for one in order:
        name = one["name"] if one["slice"] is None else f"{one['name']} on {one['slice']}"
        shown = number if one["kind"] == "rare_cases" else percent
        needed = one["needed_n"] and f"about {one['needed_n']:,} examples would tell"
        why = "; ".join(filter(None, (one["reason"], needed)))
        told = verdict(one["verdict"] == "pass", no=one["verdict"])
        made.add_row(escape(name), shown(one["observed"]), shown(one["limit"]), told, why)
    return Group(Text(), made)


def _kpi_figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['n']:,}",
        number(row.get("value")),
        number(row.get("base_value")),
        percent(row.get("retention")),
        percent(row.get("retention_low")),
    )


def _worst(slices: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    measured = [part for part in slices if part.get("retention") is not None]
    return sorted(measured, key=lambda part: part["retention"])[:count] or list(slices[:count])


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage; a dash where it could not be measured."""
    return "–" if value is None else f"{value:.{digits}%}"


def services_table(services: Sequence[Any]) -> Table:
    """The local stack's servers (`deployments.stack.ServiceStatus`)."""
    made = table("service", "health", "address", "log")
    for service in services:
        health = verdict(service.health == "up", "up", str(service.health))
        made.add_row(service.name, health, service.url or "", escape(str(service.log)))
    return made


def checks_table(checks: Sequence[Any]) -> Table:
    """What the doctor found (`tasks.doctor.Check`), each with what to do."""
    made = table("", "check", "seen", "what to do")
    for check in checks:
        advice = "" if check.ok else escape(check.advice)
        made.add_row(verdict(check.ok, "", ""), escape(check.name), escape(check.detail), advice)
    return made


def contract_table(report: Any) -> RenderableType:
    """What a data contract says (`tasks.data.validation.ValidationReport`), failures first."""
    title = f"Contract {report.suite}, {report.records:,} records"
    made = table("", "severity", "about", "seen", "expected", "why", title=title)
    for one in sorted(report.outcomes, key=lambda it: it.passed):
        about = one.column or ", ".join(map(str, one.expected.get("column_list", ())))
        seen = ", ".join(f"{name} {value:g}" for name, value in one.observed.items())
        asked = {k: v for k, v in one.expected.items() if not k.startswith("column")}
        made.add_row(
            verdict(one.passed, ""),
            one.severity,
            escape(about or one.type),
            "could not be evaluated" if one.raised else seen,
            escape(", ".join(f"{name} {value}" for name, value in asked.items()) or "all"),
            escape(one.because),
        )
    said = "kept" if report.passed else f"broken: {len(report.failures)} critical"
    return Group(made, Text(f"The contract is {said}; {len(report.warnings)} warnings."))


def deployments_table(deployments: Sequence[Any]) -> Table:
    """What was registered on Prefect (`flows.deploying.Deployed`)."""
    made = table("deployment", "schedule", "time zone", "work pool")
    for one in deployments:
        made.add_row(one.name, one.schedule or "by hand", one.timezone, one.pool)
    return made


def profile_table(profile: Mapping[str, Any]) -> RenderableType:
    """Sizes and speeds of `profile --format json`, with ratios where there is a base."""
    figures = ("model", "base", "model / base", "from", "to")
    made = table("", *figures, right=figures)
    size, base = profile["size"], profile["base_size"]
    for name, value in size.items():
        other = base[name] if base else None
        ratio = value / other if other else None
        shown = "" if other is None else f"{other:,}"
        made.add_row(name.replace("_", " "), f"{value:,}", shown, percent(ratio), "", "")
    for speed in profile["speeds"]:
        made.add_row(
            f"{speed['name'].replace('_', ' ')} ({speed['unit']})",
            *(number(speed[name]) for name in ("value", "base_value")),
            *(percent(speed[name]) for name in ("ratio", "ratio_low", "ratio_high")),
        )
    notes = [
        f"{profile['device']}, {profile['dtype']}, {profile['threads']} threads; prompt of "
        f"{profile['prompt_tokens']} tokens, {profile['decode_tokens']} decoded, "
        f"{profile['repeats']} repeats; limits at {profile['confidence']:.0%}"
    ]
    if profile["energy_reason"]:
        notes.append(f"energy: {profile['energy_reason']}")
    notes += _cost_notes(profile["cost"])
    return Group(made, *(Text(note, style="dim") for note in notes))


def _cost_notes(cost: Mapping[str, Any] | None) -> list[str]:
    if cost is None:
        return []
    told = f"cost a month: {cost['cost_per_month']:,.2f} {cost['currency']}"
    if cost["base_cost_per_month"] is not None:
        told += f", base {cost['base_cost_per_month']:,.2f}, saved {cost['savings_per_month']:,.2f}"
    return [told, *(f"  assumed: {assumption}" for assumption in cost["assumptions"])]


def versions_table(versions: Sequence[Any]) -> Table:
    """Registered versions (`tasks.models.registry.ModelVersion`)."""
    made = table("line", "version", "aliases", "layers", "change", "model")
    for one in versions:
        layers, change = one.tags.get("avss.layers", ""), one.tags.get("avss.change", "")
        made.add_row(one.line, one.version, ", ".join(one.aliases), layers, change, one.digest[:12])
    return made


def cleaning_table(plan: Any) -> Table:
    """What may be deleted, and why (`tasks.cleaning.CleaningPlan`)."""
    made = table("what", "where", "MB", "change", "why", right=("MB",))
    for one in plan.leftovers:
        size = f"{one.bytes / 1e6:,.1f}"
        made.add_row(one.kind, escape(one.address), size, one.change, escape(one.why))
    return made


def audit_table(report: Any) -> RenderableType:
    """What an audit found (`tasks.models.audit.AuditReport`)."""
    compared = (
        f"{report.versions} versions and {report.files} files compared with {report.entries} "
        f"entries of {report.line}  "
    )
    headline = Text(compared) + verdict(report.clean, "as recorded", "NOT AS RECORDED")
    if report.clean:
        return headline
    made = table("", "what", "how it differs")
    for one in report.findings:
        made.add_row(one.kind, escape(one.subject), Text(one.message, style="red"))
    return Group(headline, made)


def version_facts(version: Any) -> Table:
    """One version, a fact a line."""
    made = table("", "")
    facts = {"line": version.line, "version": version.version, "address": version.uri}
    facts |= {"aliases": ", ".join(version.aliases), "digest": version.digest}
    for name, value in (facts | dict(sorted(version.tags.items()))).items():
        made.add_row(name, escape(value))
    return made


def healing_table(report: Mapping[str, Any]) -> Table:
    """The ways of healing that were tried, and which one was kept."""
    title = (
        f"Loss on {report['held_out_tokens']:,} held-out tokens, base "
        f"{number(report['loss_of_base'])} nats a token"
    )
    made = table("healing", "loss", "", "", title=title, right=("loss",))
    for way in report["tried"]:
        kept = way["method"] == report["method"]
        made.add_row(
            way["method"],
            number(way["loss"]),
            Text("kept", style="green") if kept else "",
            escape(way["reason"]),
        )
    return made
