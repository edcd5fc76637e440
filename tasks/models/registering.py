"""A model becomes a version: its files in S3 as MLflow wants them, tried in a fresh process.

A version lies at `registered/<digest>/` in the work bucket: the published folder below `model/`,
copied inside S3, with the card beside it. Every step finds what an interrupted run left.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avss.digests import MANIFEST_NAME, digest_of_files
from tasks.errors import RegistryError
from tasks.models.card import MODEL, write_card
from tasks.models.folders import FetchedModel
from tasks.models.registry import ModelVersion, Registry
from tasks.s3.storage import ObjectStore, file_sha256

_PATIENCE = 1800
"""Seconds that a fresh process may take to fetch, load and answer."""


@dataclass(frozen=True)
class Registered:
    """A version that was fetched, loaded and asked: its files by SHA-256, and what it answered."""

    version: ModelVersion
    files: Mapping[str, str]
    trial: dict[str, Any]


def register_model(
    registry: Registry, work: ObjectStore, line: str, model: FetchedModel, tags: Mapping[str, str]
) -> Registered:
    """Make a published model a version of the line, and try it. Safe to repeat.

    Raises:
        StorageError: S3 fails, or the published model was altered.
        RegistryError: MLflow fails; or the version does not load or answer in a fresh process as
            plain transformers does, or arrives there with other bytes.
    """
    digest = model.found.digest
    with tempfile.TemporaryDirectory(prefix="avss-trial-") as scratch, _fresh_process() as server:
        files = _lay_out(work, model)
        uri = work.uri(f"registered/{digest}")
        version = registry.register(line, digest=digest, uri=uri, tags=tags)
        said = _ask(server, version, Path(scratch))
        _check(version, files, Path(scratch), said, version_files(work, digest))
    said |= {"model": digest, "uri": uri, "files": digest_of_files(files)}
    return Registered(version, files, said)


def version_files(work: ObjectStore, digest: str) -> ObjectStore:
    """Where the files of a registered model lie."""
    return work.below(f"registered/{digest}")


def _lay_out(work: ObjectStore, model: FetchedModel) -> dict[str, str]:
    """Put model and card where MLflow finds them; returns SHA-256 by key."""
    folder, digest = model.folder, model.found.digest
    published, target = work.below(f"models/{digest}"), version_files(work, digest)
    files = {f"{MODEL}{name}": sha for name, sha in model.found.files.items()}
    if (folder / MANIFEST_NAME).is_file():
        files[f"{MODEL}{MANIFEST_NAME}"] = file_sha256(folder / MANIFEST_NAME)
    for key, sha in files.items():
        target.copy_file(published, key.removeprefix(MODEL), key, sha)
    with tempfile.TemporaryDirectory(prefix="avss-card-") as scratch:
        card = Path(scratch)
        write_card(folder, digest, card)
        for path in sorted(path for path in card.rglob("*") if path.is_file()):
            key = path.relative_to(card).as_posix()
            target.sync_file(path, key)
            files[key] = file_sha256(path)
    return files


def _check(
    version: ModelVersion,
    files: Mapping[str, str],
    folder: Path,
    said: Mapping[str, Any],
    store: ObjectStore,
) -> None:
    """Hold what the fresh process fetched and said against what was laid out."""
    arrived = {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "registered_model_meta"
    }
    what = f"Version {version.version} of {version.line}"
    if odd := sorted(key for key in files | arrived if files.get(key) != arrived.get(key)):
        for key in odd:  # else the next run would take it for laid out already
            store.delete(key)
        raise RegistryError(
            f"{what} arrives with other files than were laid out: {odd[0]}. They are removed; "
            f"run again. If it stays so, restore models/{version.digest} from a back-up."
        )
    if said["transformers"] != said["mlflow"]:
        raise RegistryError(f"{what} answers otherwise through MLflow than in plain transformers.")


@contextmanager
def _fresh_process() -> Iterator[subprocess.Popen[str]]:
    """One that loads its libraries while the version is made, and is gone after the block."""
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "tasks.models.trial"],
        env={**os.environ, **quiet, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            yield server
        except BaseException:
            server.kill()
            raise


def _ask(server: subprocess.Popen[str], version: ModelVersion, folder: Path) -> dict[str, Any]:
    try:
        question = json.dumps([version.line, version.version, str(folder)])
        answers, messages = server.communicate(question, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise RegistryError(
            f"Version {version.version} of {version.line} did not load and answer in a fresh "
            f"process within {_PATIENCE} seconds."
        ) from None
    if server.returncode != 0:
        last = (messages.strip().splitlines() or ["no message"])[-1][:300]
        raise RegistryError(
            f"Version {version.version} of {version.line} does not load in a fresh process: {last}"
        )
    answer: dict[str, Any] = json.loads(answers.strip().splitlines()[-1])
    return answer
