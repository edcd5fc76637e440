"""A simulated year of a model line: 52 weekly changes in minutes, on the real local stack.

    python -m benchmarks.year --out year.json

A tiny random model, fresh data every week that drifts slowly (and once suddenly), people who
approve, reject or say nothing, jobs that die, a base that is retrained every quarter, one rollback,
a clean-up a month. In the end the record must verify, the audit must be clean, storage must be
what the policy says, and a change must not take longer because the history is longer. Time is
simulated by `tasks.clock` alone; everything else is what production runs.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.life import Life
from policies.entries import AliasMoved
from policies.lifecycle import State, Wish
from policies.verification import verify_folder
from tasks import clock
from tasks.cleaning import clean, plan_cleaning
from tasks.models.audit import audit_line
from tasks.models.moving import move_alias
from tasks.places import Places
from tasks.record.export import export_pack
from tasks.record.journal import Journal
from tasks.record.keeper import Keeper
from tasks.s3.storage import ObjectStore

WORDS = [f"w{number}" for number in range(60)]
RECORDS = 240
WEEK = timedelta(days=7)
APPROVERS = ("Ann", "Ben")
CANDIDATE_DAYS = 14


class Crash(BaseException):
    """The end of a process, which no handler of ours catches."""


@dataclass(frozen=True)
class Week:
    """What happens in one week."""

    fresh: bool = True
    """Whether there is new data; otherwise last week's lies there again."""
    sudden: bool = False
    """Whether the data is suddenly about something else."""
    people: str = "approve"
    """approve, reject, or silent: the request expires."""
    dies_at: int | None = None
    """The entry of the week's run before which the process dies; the next run goes on."""
    limit: int = 1
    """Layers that the policy lets go in all."""
    base: int = 0
    """Which base model the run file names."""
    rollback: bool = False


@dataclass(frozen=True)
class Lived:
    """How a week went."""

    week: int
    change: str
    outcome: str
    entries: int
    """Of the record after it."""
    seconds: float
    """That the job's runs took, without waiting."""
    steps: int


@dataclass
class Year:
    """A line with its people, week by week. `data` is the folder of its weekly prefixes."""

    life: Life
    data: ObjectStore
    seed: int = 1
    lived: list[Lived] = field(default_factory=list)
    offset: timedelta = timedelta()

    def live(self, weeks: list[Week]) -> None:
        """One week after the other."""
        with self.time():
            for week in weeks:
                self.lived.append(self._week(len(self.lived) + 1, week))
                self.offset += WEEK

    def time(self) -> AbstractContextManager[None]:
        """Let the simulated time be the time meanwhile."""
        return clock.telling(lambda: datetime.now(UTC) + self.offset)

    def _week(self, number: int, week: Week) -> Lived:
        self._prepare(number, week)
        if week.rollback:
            self.roll_back()
        seconds, ending = self._run(week.dies_at)
        while ending.waiting_for:
            if week.people == "silent":
                self.offset += timedelta(days=8)
            else:
                self.life.answer(ending.change, *self._voices(week), said=week.people)
            more, ending = self._run(None)
            seconds += more
        state = self.life.view.state
        steps = len(state.closed[-1].change.steps)
        return Lived(number, ending.change, ending.outcome or "", state.length, seconds, steps)

    def _voices(self, week: Week) -> tuple[str, ...]:
        return APPROVERS[1:] if week.people == "reject" else APPROVERS

    def _prepare(self, number: int, week: Week) -> None:
        source = number if week.fresh else number - 1
        if week.fresh:
            content = reviews(number, self.seed, sudden=week.sudden)
            self.data.put(f"week-{source:02d}/part-0.jsonl", content)
        limits = {"max_layers_removed": week.limit, **_LIMITS}
        self._rewrite("policy.yaml", limits=limits, storage={"candidate_days": CANDIDATE_DAYS})
        run = yaml.safe_load((self.life.folder / "run.yaml").read_text())
        data = run["data"] | {"uri": self.data.uri(f"week-{source:02d}")}
        self._rewrite("run.yaml", data=data, model={"source": f"model-{week.base}"})

    def _rewrite(self, name: str, **changes: Any) -> None:
        path = self.life.folder / name
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))

    def _run(self, dies_at: int | None) -> tuple[float, Any]:
        began = time.monotonic()
        if dies_at is not None:
            with dying_before(dies_at):
                try:
                    return time.monotonic() - began, self.life.run()
                except Crash:
                    pass
        ending = self.life.run()
        return time.monotonic() - began, ending

    def roll_back(self) -> None:
        """Ask, decide, move."""
        wish = Wish("Mia", "answers got worse")
        with self.time():
            asked = move_alias(Keeper(self.life.line, self.places), wish)
            self.life.answer(asked.change, "Ben")
            moved = move_alias(Keeper(self.life.line, self.places), wish)
        assert moved.state == "moved", moved

    @property
    def places(self) -> Places:
        """The line's buckets."""
        return Places(self.life.work, self.life.ledger)

    def clean_up(self) -> int:
        """What `avss gc` does; returns how many things went."""
        with self.time():
            plan = plan_cleaning(self.places)
            clean(plan, ObjectStore(self.life.work))
        return len(plan.leftovers)

    def check(self, folder: Path) -> dict[str, Any]:
        """What must hold in the end; raises AssertionError where it does not."""
        view, state = self.life.view, self.life.view.state
        report = audit_line(view)
        assert report.clean, report.findings
        packs = {state.closed[0].change.id, state.closed[-1].change.id}
        packs |= {move.change for move in state.moves if isinstance(move.over, AliasMoved)}
        with self.time():
            for change in sorted(packs):
                export_pack(view, change, folder / change)
                verify_folder(folder / change)
            assert plan_cleaning(self.places).leftovers == ()
            now = clock.now()
        models, allowed = self.models_kept(), models_allowed(state, now, CANDIDATE_DAYS)
        assert models <= allowed, sorted(models - allowed)
        return {
            "entries": state.length,
            "packs_verified": sorted(packs),
            "audited": {"versions": report.versions, "files": report.files},
            "models_kept": len(models),
            "models_made": len(models_made(state)),
        }

    def models_kept(self) -> set[str]:
        """Digests of this line's models that are still in the work bucket."""
        made = models_made(self.life.view.state)
        store = ObjectStore(self.life.work, "models")
        return {item.key.split("/")[0] for item in store.list()} & made


_LIMITS = {"max_share_removed": None, "attempts_per_step": 2}


def models_made(state: State) -> set[str]:
    """Every model that the record names."""
    return {
        digest
        for change in (*(one.change for one in state.closed), *filter(None, [state.change]))
        for digest in (
            change.opened.base_model,
            *(attempt.built.model for step in change.steps for attempt in step.attempts),
        )
    }


def models_allowed(state: State, now: datetime, days: int) -> set[str]:
    """Models that may still be there: versions, bases in use, and what ended lately."""
    allowed = {one.change.registered.model for one in state.closed if one.change.registered}
    if state.live:
        allowed.add(state.live.opened.base_model)
    allowed.add(state.closed[-1].change.opened.base_model)
    for one in state.closed:
        if now - one.closed_at < timedelta(days=days):
            allowed |= {it.built.model for step in one.change.steps for it in step.attempts}
            allowed |= {one.change.opened.base_model, one.change.start_model}
    return allowed


@contextmanager
def dying_before(entry: int) -> Iterator[None]:
    """The process dies instead of making this entry, counted from the run's first (1)."""
    append, count = Journal.append, 0

    def dying(journal: Journal, *arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == entry:
            raise Crash
        return append(journal, *arguments, **named)

    Journal.append = dying  # type: ignore[method-assign]
    try:
        yield
    finally:
        Journal.append = append  # type: ignore[method-assign]


def reviews(week: int, seed: int, *, sudden: bool = False) -> bytes:
    """A week's records: the words wander slowly through the vocabulary, or jump."""
    draw = random.Random(f"{seed} {week}")  # noqa: S311 - a story, not a secret
    start = 40 if sudden else week // 8
    words = WORDS[start : start + 20] if sudden else WORDS[start : start + 50]
    rows = [
        {
            "n": f"{week}-{number}",
            "said": " ".join(draw.choices(words, k=draw.randint(6, 30))),
            "mood": draw.choice(["good", "bad"]),
            "shop": draw.choice(["north", "south"]),
        }
        for number in range(RECORDS)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def whole_year(seed: int) -> list[Week]:
    """52 weeks: a quarter has one base; the policy lets another layer go every four weeks."""
    draw = random.Random(seed)  # noqa: S311 - a story, not a secret
    weeks = []
    for number in range(52):
        in_quarter = number % 13
        weeks.append(
            Week(
                fresh=number == 0 or draw.random() > 0.15,
                sudden=number == 21,
                people=draw.choices(["approve", "reject", "silent"], [6, 2, 1])[0],
                dies_at=draw.randint(2, 14) if draw.random() < 0.2 else None,
                limit=1 + in_quarter // 4,
                base=number // 13,
                rollback=number == 34,
            )
        )
    return weeks


def curve(lived: list[Lived]) -> dict[str, Any]:
    """Seconds a change over the length of the record, for changes of one step and for none."""

    def halves(kept: Callable[[Lived], bool]) -> dict[str, Any]:
        chosen = [one for one in lived if kept(one)]
        half = len(chosen) // 2
        times = [one.seconds for one in chosen]
        return {
            "changes": len(chosen),
            "median_first_half": statistics.median(times[:half]) if half else None,
            "median_second_half": statistics.median(times[half:]) if times else None,
        }

    return {
        "one_step": halves(lambda it: it.steps == 1),
        "no_step": halves(lambda it: it.steps == 0),
    }


def main() -> None:
    """Live the year and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("year.json"))
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avss-year-") as scratch, stack(Path(scratch)) as made:
        year = Year(made[0], made[1], given.seed)
        for number, week in enumerate(whole_year(given.seed)[: given.weeks], 1):
            year.live([week])
            print(json.dumps(asdict(year.lived[-1])), flush=True)
            if number % 4 == 0:
                print(f"clean-up: {year.clean_up()} things went", flush=True)
        year.clean_up()
        found = year.check(Path(scratch) / "packs")
        found |= {"outcomes": Counter(one.outcome for one in year.lived), **curve(year.lived)}
        found["weeks"] = [asdict(one) for one in year.lived]
        given.out.write_text(json.dumps(found, indent=2))
        print(json.dumps({key: found[key] for key in found if key != "weeks"}, indent=2))


@contextmanager
def stack(scratch: Path) -> Iterator[tuple[Life, ObjectStore]]:
    """A local stack of its own, with the tests' tiny world on it."""
    from deployments.buckets import BucketNames
    from deployments.services import ALL
    from deployments.stack import Stack

    servers = Stack(scratch / "stack", ALL)
    servers.up(deadline=300)
    try:
        os.environ |= servers.environment() | {"AVSS_HOME": str(scratch / "home")}
        from tests.conftest import Servers
        from tests.flows.conftest import new_world, tiny_model

        world = new_world(Servers(servers, BucketNames(), "year"), scratch)
        for base in range(4):
            tiny_model(scratch / f"model-{base}", layers=8, seed=base)
        yield Life(scratch, world.line), ObjectStore(BucketNames().data, "year/weeks")
    finally:
        servers.down()


if __name__ == "__main__":
    main()
