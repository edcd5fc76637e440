"""What lines leave behind: records made by the law, models in S3, caches on this machine."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from policies.canonical import digest
from policies.keys import public_line
from policies.policy import parse_policy
from tasks import clock
from tasks.cleaning import CleaningPlan, clean, plan_cleaning
from tasks.home import home
from tasks.places import Places
from tasks.record.documents import Documents
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore
from tests.policies.samples import POLICY
from tests.policies.world import World

BASE, RETRAINED = digest(b"base"), digest(b"retrained")
"""Two base models."""


def days(count: int) -> timedelta:
    return timedelta(days=count)


def new_world(line: str, candidate: int = 14, snapshot: int = 30, **more: Any) -> World:
    stored = f"storage: {{candidate_days: {candidate}, snapshot_days: {snapshot}}}"
    return World(line=line, policy=parse_policy(f"{POLICY}{stored}\n"), **more)


class Place:
    """Buckets of a test's own, into which worlds are laid, and the time that it is there."""

    def __init__(self, unique: str) -> None:
        self.places = Places(f"work-{unique}", f"ledger-{unique}")
        for bucket in (self.places.work, self.places.ledger):
            new_client().create_bucket(Bucket=bucket)
        self.work, self.ledger = ObjectStore(self.places.work), ObjectStore(self.places.ledger)
        self.now: datetime | None = None

    def lay(self, world: World) -> None:
        """What the line's job would have left: record, documents, models, cached models."""
        self.now = max(world.now, self.now or world.now)
        self.ledger.put(f"keys/{world.line}.pub", public_line(world.signer.public_key()).encode())
        for sequence, envelope in enumerate(world.envelopes):
            self.ledger.put(f"ledger/{world.line}/{sequence:012d}.json", envelope)
        for content in world.documents.values():
            Documents(self.work).put_bytes(content)
        for model in made(world):
            self.work.put(f"models/{model}/model.safetensors", b"weights")
            self.work.put(f"models/{model}/config.json", b"{}")
            on_disk("models", model)

    def plan(self, later: int = 0) -> CleaningPlan:
        """As it would be so many days after all that was laid."""
        assert self.now is not None
        now = self.now + days(later)
        with clock.telling(lambda: now):
            return plan_cleaning(self.places)

    def clean(self, later: int = 0) -> CleaningPlan:
        plan = self.plan(later)
        clean(plan, self.work)
        return plan

    @property
    def models(self) -> set[str]:
        return {item.key.split("/")[0] for item in self.work.below("models").list()}


def on_disk(kind: str, name: str) -> Path:
    """A folder in this machine's cache of models, or of snapshots (there are two levels there)."""
    within = {"models": "models", "snapshots": "snapshots/snapshots"}[kind]
    folder = home() / "cache" / within / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "content").write_bytes(b"some text")
    return folder


def changes(world: World) -> Iterator[Any]:
    yield from (one.change for one in world.state.closed)
    if world.state.change is not None:
        yield world.state.change


def made(world: World) -> set[str]:
    """Every model that the line's record names."""
    built = (
        attempt.built.model
        for change in changes(world)
        for step in change.steps
        for attempt in step.attempts
    )
    return {*built, *(change.opened.base_model for change in changes(world))}


def snapshot_of(world: World, number: int) -> str:
    """Digest of a change's snapshot, from 1."""
    found = list(changes(world))[number - 1].snapshot.manifest
    assert isinstance(found, str)
    return found


def promoted(world: World, base: str = BASE) -> str:
    """A change from this base that is promoted; returns its model."""
    world.base = base
    world.start = {}
    world.open()
    world.approve_all()
    assert world.state.live is not None
    return world.state.live.model


def rejected(world: World) -> str:
    """A change whose first step is refused; returns the candidate."""
    world.open()
    world.run()
    candidate = world.change.steps[0].chosen
    assert candidate is not None
    world.decide("bob", "reject")
    world.run()
    return candidate.built.model
