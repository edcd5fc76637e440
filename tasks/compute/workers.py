"""The engine of `execution: ray`: pieces go to whichever worker is free, and again if it dies."""

import logging
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from tasks.compute.agreement import agreed
from tasks.compute.cluster import needs
from tasks.compute.pieces import Piece, Progress
from tasks.compute.worker import (
    Answer,
    Greeting,
    Maker,
    ModelPlace,
    Refusal,
    Worker,
    tokenizer_digest,
)
from tasks.errors import ComputeError, WorkerError
from tasks.models.shelf import ModelShelf
from tasks.run_file import Resources

_LOG = logging.getLogger("avss.compute")

_LIVES = 5
"""Workers that one piece, or the start of workers in a row, may cost before it is given up."""

_LOOK_SECONDS = 5
_PLACING_SECONDS = 120
"""How long a worker may take to be placed and to start where there is room for it."""


@dataclass(frozen=True)
class _Crew:
    """A worker and what it said of itself."""

    handle: Any
    greeting: Greeting


@dataclass
class _Task:
    """One operation: what waits, what is being worked on, what came back."""

    place: ModelPlace
    pieces: Sequence[Piece]
    waiting: deque[int]
    tokenizer: str
    """Digest of the one that the pieces were made with."""
    makers: set[Maker] = field(default_factory=set)
    working: dict[Any, tuple[int, _Crew]] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    lost: Counter[int] = field(default_factory=Counter)
    unseen: list[_Crew] = field(default_factory=list)
    """Those from before, not heard of since: who of them is lost may have been dead already."""

    @property
    def done(self) -> bool:
        """Whether every piece is answered."""
        return len(self.answers) == len(self.pieces)


def device_for(gpus: int) -> str | None:
    """Where a worker with so many GPUs puts its model: spread over them where they are several."""
    return {0: "cpu", 1: None}.get(gpus, "auto")


class RayEngine:
    """Workers of one cluster, each with one model in memory, started once and kept.

    Plain actors: a worker must outlive a piece to keep its model, and each piece must be known to
    be done or not, so that it is done again elsewhere when its worker dies.
    """

    def __init__(self, count: int, wanted: Resources, models: ModelShelf) -> None:
        self._count = count
        self._wanted = wanted
        self._models = models
        self._starting: dict[Any, Any] = {}
        self._leaving: dict[Any, _Crew] = {}
        """Those still at a piece that nobody waits for any more."""
        self._alive: list[_Crew] = []
        self._free: list[_Crew] = []
        self._failed_starts = 0
        self.name = (
            f"ray {ray.__version__}, {count} workers of {wanted.cpus} CPUs, {wanted.gpus} GPUs"
        )

    def answers(self, model: str, pieces: Sequence[Piece], progress: Progress) -> list[Any]:
        """The answer of every piece, in their order.

        Raises:
            ComputeError: no worker can be started, or workers disagree on what they compute with.
            WorkerError: one piece costs one worker after the other.
            Whatever a piece raises that is ours.
        """
        place = ModelPlace(model, str(self._models.folder(model)), self._models.uri(model))
        tokenizer = tokenizer_digest(self._models.reader(model)[1])
        task = _Task(place, pieces, deque(range(len(pieces))), tokenizer, unseen=list(self._free))
        total = sum(piece.size for piece in pieces)
        self._start(min(self._count, len(pieces)) - len(self._alive) - len(self._starting))
        idle_since = time.monotonic()
        try:
            while not task.done:
                self._hand_out(task)
                if task.working:
                    idle_since = time.monotonic()
                for ref in self._ready(task, idle_since):
                    if ref in self._starting:
                        self._greet(ref)
                    elif ref in self._leaving:
                        self._free.append(self._leaving.pop(ref))
                    else:
                        self._take(task, ref)
                        progress(sum(pieces[index].size for index in task.answers), total)
        finally:
            self._leaving |= {ref: crew for ref, (_, crew) in task.working.items()}
        return [task.answers[index].value for index in range(len(pieces))]

    def close(self) -> None:
        """Let the workers go, and what they hold with them."""
        for handle in [*self._starting.values(), *(crew.handle for crew in self._alive)]:
            ray.kill(handle)
        self._starting, self._leaving, self._alive, self._free = {}, {}, [], []

    @property
    def workers(self) -> tuple[Greeting, ...]:
        """Those that are not known to be lost."""
        return tuple(crew.greeting for crew in self._alive)

    def _start(self, count: int) -> None:
        asked = needs(self._wanted)
        remote = ray.remote(Worker).options(
            num_cpus=asked["CPU"],
            num_gpus=asked.get("GPU", 0),
            memory=asked.get("memory"),
            max_restarts=0,
        )
        for _ in range(count):
            handle = remote.remote(self._wanted.cpus, device_for(self._wanted.gpus))
            self._starting[handle.greet.remote()] = handle

    def _hand_out(self, task: _Task) -> None:
        while task.waiting and self._free:
            index, crew = task.waiting.popleft(), self._free.pop()
            ref = crew.handle.answer.remote(task.place, task.pieces[index])
            task.working[ref] = index, crew

    def _ready(self, task: _Task, idle_since: float) -> list[Any]:
        """What is ready of starts and answers; patience ends only where nobody works."""
        watched = [*task.working, *self._leaving, *self._starting]
        ready, _ = ray.wait(watched, num_returns=1, timeout=_LOOK_SECONDS)
        patience = max(self._wanted.wait_minutes * 60, _PLACING_SECONDS)
        if not ready and time.monotonic() - idle_since > patience:
            raise ComputeError(
                f"No worker could be started within {patience:.0f} seconds: other jobs have taken "
                "the cluster's room, or it brought no node. Ask for less, or give wait_minutes."
            )
        return list(ready)

    def _greet(self, ref: Any) -> None:
        handle = self._starting.pop(ref)
        try:
            crew = _Crew(handle, ray.get(ref))
            self._alive.append(crew)
            self._free.append(crew)
            self._failed_starts = 0
        except RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _LIVES:
                raise ComputeError(
                    f"{_LIVES} workers in a row could not be started ({type(error).__name__}). Is "
                    "this version of avss installed on every node of the cluster?"
                ) from None
            self._start(1)

    def _take(self, task: _Task, ref: Any) -> None:
        """An answer; or the loss of a worker, whose piece is for the next one."""
        index, crew = task.working.pop(ref)
        where = f"worker {crew.greeting.pid} on {crew.greeting.host}"
        try:
            found = ray.get(ref)
        except RayTaskError as error:
            self._free.append(crew)
            fault = type(error.cause or error).__name__
            raise WorkerError(f"{where} failed with a {fault} outside of our code.") from None
        except RayError as error:
            self._alive.remove(crew)
            task.lost[index] += crew not in task.unseen
            if task.lost[index] >= _LIVES:
                raise WorkerError(
                    f"{_LIVES} workers died on the same piece of work ({type(error).__name__}): "
                    "give workers more memory, or look at their nodes."
                ) from None
            _LOG.warning("The %s is lost; its piece of work is done again by another one.", where)
            task.waiting.appendleft(index)
            self._start(1)
            return
        self._free.append(crew)
        if crew in task.unseen:
            task.unseen.remove(crew)
        if isinstance(found, Refusal):
            raise found.error
        for said in found.warnings:
            _LOG.warning("The %s: %s", where, said)
        task.makers.add(found.maker)
        agreed(task.place.digest, task.tokenizer, task.makers)
        task.answers[index] = found
