"""How much memory a snapshot takes above a process that has only loaded the libraries.

A real S3 server of its own, filled with many small objects or one large one; the pull runs in a
fresh process that reports its peak resident set before and after.

    python -m benchmarks.snapshot_memory --objects 10000
    python -m benchmarks.snapshot_memory --bytes 1073741824
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deployments.buckets import BucketNames, ensure_buckets
from deployments.services import SEAWEEDFS
from deployments.stack import Stack
from tasks.data.snapshot import pin_snapshot
from tasks.data.source import DataSource, Fields
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore

_WORDS = [f"word{number}" for number in range(5000)]
_PAGE = " ".join(random.Random(0).choices(_WORDS, k=5000))  # noqa: S311


def line(number: int, characters: int = 900) -> str:
    """A record of about so many bytes; no two are the same."""
    start = number * 7 % (len(_PAGE) - characters)
    text = f"{number} {_PAGE[start : start + characters]}"
    return json.dumps({"id": f"r{number}", "text": text}) + "\n"


def fill(store: ObjectStore, objects: int, size: int, scratch: Path) -> None:
    """Write `objects` objects of one record each, or one of `size` bytes."""
    if size:
        path = scratch / "large.jsonl"
        with path.open("w", encoding="utf-8") as file:
            number = 0
            while file.tell() < size:
                file.writelines(line(number + more, 9000) for more in range(1000))
                number += 1000
        store.upload_file(path, "large.jsonl")
        path.unlink()
        return
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda number: store.put(f"{number:06d}.jsonl", line(number).encode()),
                range(objects),
            )
        )


def peak_mib() -> float:
    """This process' peak resident set."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pull(uri: str, cache: Path) -> None:
    """Load what a pull needs, then pull; print both peaks and the time."""
    import pandas  # noqa: F401 - part of the ground: pyarrow loads it for its first array
    import pyarrow.ipc
    import pyarrow.parquet  # noqa: F401

    next(iter(ObjectStore.at(uri).list()), None)
    before, began = peak_mib(), time.monotonic()
    snapshot = pin_snapshot(DataSource(uri=uri, fields=Fields(id="id", text="text")), cache=cache)
    found = {
        "objects": len(snapshot.manifest.objects),
        "bytes": sum(it.size for it in snapshot.manifest.objects),
        "records": snapshot.manifest.records,
        "libraries_mib": round(before, 1),
        "above_mib": round(peak_mib() - before, 1),
        "seconds": round(time.monotonic() - began, 1),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def main() -> None:
    """Fill, pull in a fresh process, print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=0)
    parser.add_argument("--pull", nargs=2, metavar=("URI", "CACHE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.pull:
        pull(given.pull[0], Path(given.pull[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        stack = Stack(scratch / "stack", (SEAWEEDFS,))
        try:
            stack.up(deadline=300)
            os.environ.update(stack.environment())
            ensure_buckets(BucketNames(), new_client())
            store = ObjectStore(BucketNames().data, "memory")
            fill(store, given.objects, given.bytes, scratch)
            command = [sys.executable, "-m", "benchmarks.snapshot_memory"]
            subprocess.run([*command, "--pull", store.uri(), str(scratch / "cache")], check=True)
        finally:
            stack.down()


if __name__ == "__main__":
    main()
