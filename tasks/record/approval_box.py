"""Where answers are dropped: `approvals/<change>/<step>/<digest>.json` in the work bucket.

Whoever may put an object there may answer; what counts is decided when the answer is verified.
"""

import hashlib
from collections.abc import Iterator

from policies.schema import Asked
from policies.statements import LARGEST
from tasks.s3.storage import ObjectStore


class ApprovalBox:
    """The answers to a change's requests, as they came."""

    def __init__(self, work: ObjectStore) -> None:
        self._store = work.below("approvals")

    def drop(self, change: str, step: Asked, envelope: bytes) -> str:
        """Drop an answer; returns its address. Needs nothing but PutObject."""
        key = f"{change}/{step}/{hashlib.sha256(envelope).hexdigest()}.json"
        self._store.put(key, envelope)
        return self._store.uri(key)

    def answers(self, change: str, step: Asked) -> Iterator[bytes]:
        """Every answer, the earliest first; of one too large to be read, only its name."""
        found = sorted(self._store.list(f"{change}/{step}/"), key=lambda it: (it.modified, it.key))
        for item in found:
            if item.size > LARGEST:
                yield item.key.encode()
            else:
                yield self._store.get(item.key)
