"""The models of a change by their digests: in S3, on disk, and in memory while in use."""

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Self

from avss.digests import MANIFEST_NAME, FolderDigest, folder_digest
from avss.loading import load_config, load_model, load_tokenizer, materialize, placement_of
from tasks.home import cache, draft
from tasks.models.folders import FetchedModel, fetch_model, publish_model, publishing
from tasks.reporting import Report, summed, untold
from tasks.s3.storage import ObjectStore

_IN_MEMORY = 2
"""The base and the current parent; a candidate is built from both."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory with its tokenizer."""

    digest: str
    model: Any
    tokenizer: Any

    @classmethod
    def read(cls, digest: str, folder: Path, placement: Any) -> Self:
        """From its folder, placed as `avss.loading.placement_of` says."""
        return cls(digest, load_model(folder, device_map=placement), load_tokenizer(folder))


class ModelShelf:
    """Models of the work bucket, `models/<digest>/`; what is loaded once is kept while in use.

    `device` is as `placement_of` takes it; InputError is raised for one that is not here.
    """

    def __init__(self, work: ObjectStore, device: str | None = None) -> None:
        self._work = work
        self._placement = placement_of(device)
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._fetched: dict[str, FetchedModel] = {}

    def uri(self, digest: str) -> str:
        """Where the model lies in S3."""
        return self._work.uri(f"models/{digest}")

    def fetched(self, digest: str, *, given_up: Event | None = None) -> FetchedModel:
        """The model on this machine, fetched if need be, verified by its digest.

        Once in the life of this shelf: a large model takes minutes to read. Raises CancelledError
        soon after `given_up` is set.
        """
        if digest not in self._fetched:
            self._fetched[digest] = fetch_model(
                self.uri(digest), client=self._work.client, given_up=given_up
            )
        return self._fetched[digest]

    def fetch_all(self, digests: Iterable[str]) -> None:
        """Have these models on this machine, as `fetched` has each; they are read side by side."""
        given_up = Event()
        with ThreadPoolExecutor() as pool:
            each = [
                pool.submit(self.fetched, digest, given_up=given_up)
                for digest in sorted(set(digests))
            ]
            try:
                for one in as_completed(each):
                    one.result()
            except BaseException:  # neither a fault nor an interrupt waits for large models
                given_up.set()
                raise

    def folder(self, digest: str) -> Path:
        """The folder of a model, as `fetched` has it."""
        return self.fetched(digest).folder

    def load(self, digest: str) -> LoadedModel:
        """The model, loaded at most once while it is in use."""
        if digest not in self._loaded:
            self._loaded[digest] = LoadedModel.read(digest, self.folder(digest), self._placement)
            while len(self._loaded) > _IN_MEMORY:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(digest)
        return self._loaded[digest]

    def reader(self, digest: str) -> tuple[Any, Any]:
        """The model's config and tokenizer, without its weights."""
        folder = self.folder(digest)
        return load_config(folder), load_tokenizer(folder)

    def take_in(self, source: str, revision: str | None) -> str:
        """Bring a base model from any source onto the shelf; returns its digest."""
        if source.startswith("s3://"):
            bucket, client = self._work.location.bucket, self._work.client
            fetched = fetch_model(source, client=client)
            publish_model(fetched.folder, bucket, known=fetched.found, client=client)
            self._fetched[fetched.found.digest] = fetched
            return fetched.found.digest
        return self.add(lambda out: folder_digest(materialize(source, out, revision=revision)))

    def add(
        self,
        write: Callable[[Path], FolderDigest],
        check: Callable[[Path], Any] = lambda _: None,
        report: Report = untold,
    ) -> str:
        """Publish the model that `write` saves to the folder it is given; returns its digest.

        It is uploaded while `check` is at work on the folder, and on no shelf where that raises.
        What was uploaded by then stays, as it does where the process dies. `report` is told bytes.
        """
        shelf = cache("models")
        with draft(shelf) as scratch:
            folder = scratch / "model"
            found = write(folder)
            travel = [folder / name for name in (*found.files, MANIFEST_NAME)]
            size = sum(path.stat().st_size for path in travel if path.is_file())
            moved = summed(size, report)
            bucket, client = self._work.location.bucket, self._work.client
            with publishing(folder, bucket, found, client=client, progress=moved):
                check(folder)
            if (shelf / found.digest).exists():
                shutil.rmtree(shelf / found.digest)
            folder.rename(shelf / found.digest)
        self._fetched[found.digest] = FetchedModel(shelf / found.digest, found)
        return found.digest
