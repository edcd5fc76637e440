"""Business data in a bucket, as the tests of snapshots fill it."""

import json
from typing import Any

from tasks.data.source import DataSource, Fields
from tasks.s3.storage import ObjectStore


def rows(start: int, stop: int) -> bytes:
    lines = [json.dumps({"id": str(i), "text": f"text number {i}"}) for i in range(start, stop)]
    return "\n".join(lines).encode()


def source(store: ObjectStore, **options: Any) -> DataSource:
    return DataSource(uri=store.uri(), fields=Fields(id="id", text="text"), **options)


def fill(store: ObjectStore, objects: int, size: int = 10) -> None:
    for number in range(objects):
        store.put(f"part/{number:03d}.jsonl", rows(number * size, (number + 1) * size))
