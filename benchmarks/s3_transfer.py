"""A model's way to S3 and back against raw boto3, on a real S3 server of its own.

    python -m benchmarks.s3_transfer [--mib 512] [--files 4] [--repeats 5]

Ours is what a change does: `publish_model` (digests, an unfinished upload goes on where it was) and
`fetch_model` (space, digests, all or nothing); raw is `upload_file` and `download_file` of boto3
with its defaults, one file after the other. The two take turns, on new bytes each time; printed are
the medians, and the median of the turns' ratios of speeds (1: as fast as raw; at least 0.9 is
wanted). Reading and hashing the bytes once is part of ours; the last column compares with raw
transfers whose bytes are hashed too (before a push, after a pull, files side by side), which is the
least that whoever verifies a model pays.
"""

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avss.digests import file_digest, folder_digest
from deployments.buckets import BucketNames, ensure_buckets
from deployments.services import SEAWEEDFS
from deployments.stack import Stack
from tasks.models.folders import fetch_model, publish_model
from tasks.s3.client import new_client

MIB = 1 << 20
WAYS = ("push", "pull")


def write(folder: Path, files: int, size: int, seed: int) -> None:
    """A folder of so many files of random bytes, `size` in all."""
    folder.mkdir()
    draw = random.Random(seed)  # noqa: S311
    for number in range(files):
        with (folder / f"model-{number}.safetensors").open("wb") as file:
            for _ in range(size // files // MIB):
                file.write(draw.randbytes(MIB))


def seconds(run: Callable[[], Any]) -> float:
    """Wall time, begun when all that was written before is on the disk."""
    os.sync()
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def raw_push(client: Any, folder: Path, bucket: str, prefix: str) -> None:
    """Each file with boto3's own transfer."""
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), bucket, f"{prefix}/{path.name}")


def raw_pull(client: Any, names: list[str], folder: Path, bucket: str, prefix: str) -> None:
    """Each file with boto3's own transfer."""
    folder.mkdir()
    for name in names:
        client.download_file(bucket, f"{prefix}/{name}", str(folder / name))


def hashed(folder: Path) -> None:
    """Every file's bytes, read and hashed once, one file after the other."""
    for path in sorted(folder.iterdir()):
        file_digest(path)


def turn(scratch: Path, number: int, files: int, size: int) -> dict[str, tuple[float, ...]]:
    """Seconds of a push and a pull of one folder: ours, raw, and of hashing its bytes, twice."""
    client, bucket = new_client(), BucketNames().work
    folder, raw = scratch / f"model-{number}", f"raw-{number}"
    write(folder, files, size, number)
    names = sorted(path.name for path in folder.iterdir())
    taken: dict[str, float] = {}

    def ours() -> None:
        published = []
        taken["push"] = seconds(lambda: published.append(publish_model(folder, bucket)))
        taken["pull"] = seconds(lambda: fetch_model(published[0].uri))

    def plain() -> None:
        taken["raw push"] = seconds(lambda: raw_push(client, folder, bucket, raw))
        back = scratch / "back"
        taken["raw pull"] = seconds(lambda: raw_pull(client, names, back, bucket, raw))
        taken["hash"] = seconds(lambda: folder_digest(back))
        taken["hash on one core"] = seconds(lambda: hashed(back))
        shutil.rmtree(back)

    for way in (ours, plain) if number % 2 else (plain, ours):
        way()
    shutil.rmtree(folder)
    shutil.rmtree(scratch / "home")
    digests = taken["hash"], taken["hash on one core"]
    return {way: (taken[way], taken[f"raw {way}"], *digests) for way in WAYS}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    size = chosen.mib * MIB
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        stack = Stack(scratch / "stack", (SEAWEEDFS,))
        try:
            stack.up(deadline=300)
            os.environ.update(stack.environment(), AVSS_HOME=str(scratch / "home"))
            ensure_buckets(BucketNames(), new_client())
            turn(scratch, 0, chosen.files, min(size, 16 * MIB * chosen.files))  # warms up
            turns = [
                turn(scratch, number, chosen.files, size) for number in range(1, chosen.repeats + 1)
            ]
        finally:
            stack.down()
    print(f"{chosen.mib} MiB in {chosen.files} files, SeaweedFS on this machine, MiB/s\n")
    print("| way | ours | raw boto3 | ratio (range) | to raw and hashed (range) |")
    print("|---|---|---|---|---|")
    for way in WAYS:
        found = [one[way] for one in turns]
        mine, theirs, hashing, alone = (
            chosen.mib / statistics.median(it) for it in zip(*found, strict=True)
        )
        plain = _spread([raw / ours for ours, raw, *_ in found])
        verified = _spread([(raw + digest) / ours for ours, raw, digest, _ in found])
        print(f"| {way} | {mine:.0f} | {theirs:.0f} | {plain} | {verified} |")
    print(f"\nHashing alone: {hashing:.0f} MiB/s, on one core {alone:.0f}")


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
