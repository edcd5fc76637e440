"""The evidence of a change: canonical JSON documents, each stored under its own SHA-256."""

import contextlib
import hashlib
import json
from typing import Any, TypeVar

from pydantic import BaseModel

from policies.canonical import canonical_bytes
from tasks.home import home, write_whole
from tasks.s3.storage import ObjectStore

Model = TypeVar("Model", bound=BaseModel)


class Documents:
    """Content-addressed documents below `evidence/` in the work bucket.

    Raises StorageError where S3 fails, or where a stored document was altered.
    """

    def __init__(self, work: ObjectStore) -> None:
        self._store = work.below("evidence")
        self._seen: dict[str, Any] = {}

    def put(self, document: Any) -> str:
        """Store a JSON-like document; returns its digest. Safe to repeat."""
        return self.put_bytes(canonical_bytes(document))

    def put_bytes(self, content: bytes) -> str:
        """Store a document that is in canonical form already; returns its digest."""
        return self._store.put_content(content)

    def get(self, digest: str) -> Any:
        """The document of this digest, as parsed JSON."""
        if digest not in self._seen:
            self._seen[digest] = json.loads(self.raw(digest))
        return self._seen[digest]

    def get_kept(self, digest: str) -> Any:
        """The same, kept on this machine too: for what every later page reads again."""
        if digest not in self._seen:
            self._seen[digest] = json.loads(self._from_disk(digest))
        return self._seen[digest]

    def _from_disk(self, digest: str) -> bytes:
        path = home() / "cache" / "documents" / digest
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == digest:
                return content
        content = self.raw(digest)
        with contextlib.suppress(OSError):  # a machine that cannot be written to keeps nothing
            write_whole(path, [content])
        return content

    def put_model(self, model: BaseModel) -> str:
        """Store a typed document; returns its digest."""
        return self.put_bytes(canonical_bytes(model))

    def get_model(self, digest: str, kind: type[Model]) -> Model:
        """A typed document of this digest."""
        return kind.model_validate(self.get(digest))

    def raw(self, digest: str) -> bytes:
        """The stored bytes, verified."""
        return self._store.get_content(digest)
