"""A line that lives through a year, week by week: its job, its people, its clean-ups."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from benchmarks.life import Life
from benchmarks.year_story import Week, reviews
from flows.optimize import Ending
from policies.lifecycle import State, Wish
from tasks import clock
from tasks.cleaning import clean, plan_cleaning
from tasks.models.moving import move_alias
from tasks.places import Places
from tasks.record.journal import Journal
from tasks.record.keeper import Keeper
from tasks.s3.storage import ObjectStore

WEEK = timedelta(days=7)
APPROVERS = ("Ann", "Ben")
CANDIDATE_DAYS = 14
_LIMITS = {"max_share_removed": None, "attempts_per_step": 2}
_DRIFT = {
    # Wide enough for words that wander, narrow enough for a jump.
    "data": {"unsure": "tell", "domain": 0.95, "unknown_words": 4.0, "embedding": 2.0},
    "outputs": {"label_flip_rate": None, "next_token_kl": None},
}


class Crash(BaseException):
    """The end of a process, which no handler of ours catches."""


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
    reading: float
    """Seconds of them that it takes to read and fold the record, once, after the week."""
    steps: int
    attempts: int
    """Candidates that were built."""
    rollback: float | None = None
    """Seconds from the command to the alias moved, where there was one."""


@dataclass
class Year:
    """A line with its people, week by week. `data` is the folder of its weekly prefixes.

    Weeks are numbered from `first` on.
    """

    life: Life
    data: ObjectStore
    seed: int = 1
    first: int = 1
    lived: list[Lived] = field(default_factory=list)
    offset: timedelta = timedelta()
    source: int = 0
    """The week whose data lies there."""

    def live(self, weeks: list[Week]) -> None:
        """One week after the other."""
        with self.time():
            for week in weeks:
                self.lived.append(self._week(self.next_week, week))
                self.offset += WEEK

    @property
    def next_week(self) -> int:
        """The number of the week to come."""
        return self.first + len(self.lived)

    def time(self) -> AbstractContextManager[None]:
        """Let the simulated time be the time meanwhile."""
        return clock.telling(lambda: datetime.now(UTC) + self.offset)

    def _week(self, number: int, week: Week) -> Lived:
        self._prepare(number, week)
        back = self.roll_back() if week.rollback else None
        seconds, ending = self._run(week.dies_at)
        while ending.waiting_for:
            if week.people == "silent":
                self.offset += timedelta(days=8)
            else:
                self.life.answer(ending.change, *self._voices(week), said=week.people)
            more, ending = self._run(None)
            seconds += more
        began = time.monotonic()
        state = self.life.view.state
        steps = state.closed[-1].change.steps
        return Lived(
            week=number,
            change=ending.change,
            outcome=ending.outcome or "",
            entries=state.length,
            seconds=seconds,
            reading=time.monotonic() - began,
            steps=len(steps),
            attempts=sum(len(step.attempts) for step in steps),
            rollback=back,
        )

    def _voices(self, week: Week) -> tuple[str, ...]:
        return APPROVERS[1:] if week.people == "reject" else APPROVERS

    def _prepare(self, number: int, week: Week) -> None:
        if week.fresh:
            self.source = number
            content = reviews(number, self.seed, sudden=week.sudden)
            self.data.put(f"week-{number:02d}/part-0.jsonl", content)
        self._rewrite(
            "policy.yaml",
            limits={"max_layers_removed": week.limit, **_LIMITS},
            storage={"candidate_days": CANDIDATE_DAYS},
            drift=_DRIFT,
        )
        run = yaml.safe_load((self.life.folder / "run.yaml").read_text())
        data = run["data"] | {"uri": self.data.uri(f"week-{self.source:02d}")}
        self._rewrite("run.yaml", data=data, model={"source": f"model-{week.base}"})

    def _rewrite(self, name: str, **changes: Any) -> None:
        path = self.life.folder / name
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))

    def _run(self, dies_at: int | None) -> tuple[float, Ending]:
        """A run, and where it was to die, the one that goes on; seconds of both."""
        began, ending = time.monotonic(), None
        if dies_at is not None:
            with dying_before(dies_at), suppress(Crash):
                ending = self.life.run()
        ending = ending or self.life.run()
        return time.monotonic() - began, ending

    def roll_back(self) -> float:
        """Ask, decide, move; seconds from the command that moves to the alias moved."""
        wish = Wish("Mia", "answers got worse")
        with self.time():
            asked = move_alias(Keeper(self.life.line, self.places), wish)
            self.life.answer(asked.change, "Ben")
            began = time.monotonic()
            moved = move_alias(Keeper(self.life.line, self.places), wish)
        assert moved.state == "moved", moved
        return time.monotonic() - began

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

    def models_kept(self) -> set[str]:
        """Digests of this line's models that are still in the work bucket."""
        made = models_made(self.life.view.state)
        store = ObjectStore(self.life.work, "models")
        return {item.key.split("/")[0] for item in store.list()} & made


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
