"""What is going on, at a glance: a line each, what it waits for, whom, and until when."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from tasks.record.standing import NoStanding, Standing


def status_view(standings: Sequence[Standing | NoStanding], now: datetime) -> RenderableType:
    """Every line with the version in use, its last check, and its open or last change."""
    blocks = [
        Text("\n").join(_line(one, now) if isinstance(one, Standing) else _untold(one))
        for one in standings
    ]
    return Group(*(Text("\n").join([block, Text("")]) for block in blocks[:-1]), *blocks[-1:])


def _line(one: Standing, now: datetime) -> Iterator[Text]:
    live = f"version {one.live_version} in use" if one.live_version else "no version in use yet"
    yield Text.assemble((one.line, "bold cyan"), "  ", live, _checked(one, now))
    layers = f"{len(one.kept_layers)} of {one.original_layers} layers"
    if one.waiting_for is None:
        good = one.outcome in ("promoted", "nothing_to_do", "open")
        ended = (one.outcome.replace("_", " "), "green" if good else "red")
        yield Text.assemble(f"  {one.change}  ", ended, f", {layers}")
    else:
        yield Text.assemble(f"  {one.change}  ", (_question(one), "yellow"), f", {layers}")
        yield Text(f"    {_people(one)}")
        yield Text(f"    until {_until(one.waiting_until, now)}")
        yield Text(f"    read: avss dossier {one.change}", "dim")
    if one.move_asked is not None:
        yield Text.assemble("  ", (f"waits: {one.move_asked}", "yellow"))
        yield Text(f"    until {_until(one.move_until, now)}")


def _untold(one: NoStanding) -> Iterator[Text]:
    why = "the record does not hold" if one.exit_code == 5 else "nothing can be told"
    yield Text.assemble((one.line, "bold cyan"), "  ", (f"✗ {why}", "bold red"))
    yield Text(f"    {one.fault}")


def _checked(one: Standing, now: datetime) -> Text:
    """What the last check on fresh data said of the version in use."""
    if one.last_check is None or one.last_checked is None:
        return Text("")
    ago = _span(now - datetime.fromisoformat(one.last_checked))
    told = Text("; checked ").append(f"{ago} ago: ")
    told.append("✓ well" if one.last_check else "✗ below its floor", _style(one.last_check))
    return told.append(f", incident {one.incident} is open", "bold red") if one.incident else told


def _style(good: bool) -> str:
    return "green" if good else "bold red"


def _question(one: Standing) -> str:
    promotion = one.waiting_for == "promotion"
    return "waits: the promotion" if promotion else f"waits: step {one.waiting_for}"


def _people(one: Standing) -> str:
    """Who must still answer, and who has."""
    count = one.approvals_missing or 0
    given = f"approved by {', '.join(one.approvals)}" if one.approvals else "nobody has answered"
    if count == 0:
        return f"{given}; the next run goes on"
    roles = f" ({' or '.join(one.roles_asked)})" if one.roles_asked else ""
    return f"{count} more {'person' if count == 1 else 'people'} must approve{roles}; {given}"


def _until(text: str | None, now: datetime) -> str:
    if text is None:
        return "no limit"
    moment = datetime.fromisoformat(text)
    left = "OVER" if moment <= now else f"{_span(moment - now)} left"
    return f"{moment:%Y-%m-%d %H:%M} UTC ({left})"


def _span(span: timedelta) -> str:
    """A span of time in the largest unit of which it holds two."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s"
    return "a minute"
