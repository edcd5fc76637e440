"""Write a change's evidence pack to a folder."""

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from policies.evidence import StepEvidence
from policies.lifecycle import ChangeState
from policies.pack import (
    CHECKPOINT,
    EXTRA,
    JOB_KEY,
    MANIFEST,
    assemble,
    documents_of,
    evidence_path,
    ledger_path,
)
from policies.schema import Step
from tasks import clock
from tasks.errors import TaskError
from tasks.record.bom import bill_of_materials
from tasks.record.duties import duties_files
from tasks.record.job_keys import read_job_key
from tasks.record.line_view import LineView
from tasks.record.pages import page_of
from tasks.reporting import Report, told, untold

PARTS = (
    MANIFEST,
    JOB_KEY,
    CHECKPOINT,
    ledger_path(0),
    evidence_path("0" * 64),
    f"{EXTRA}duties.md",
)
"""What every pack has: a file of each kind."""


def export_pack(view: LineView, change_id: str, out: Path, report: Report = untold) -> int:
    """Write the pack of a change, whole or not at all; returns how many files it has.

    An earlier pack at `out` is replaced; anything else there is left alone. `report` is told how
    many documents, pages and entries are done.

    Raises:
        TaskError: `out` holds something that is no pack.
        MissingError: there is no such change, or one of its documents is gone.
        RunFileError: the job's key is not here; a pack is signed with it.
    """
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise TaskError(f"{out} holds something that is no evidence pack. Name a new folder.")
    change, record = view.change(change_id), view.record
    judged, fetch = _judged(change), view.documents.raw
    names = [*dict.fromkeys(documents_of(record.entries, change.id, fetch))]
    before = len(names) + len(judged)
    total = before + len(record.entries)
    documents = {name: fetch(name) for name in told(names, total, report)}
    extra = _extra(view, change, told(judged, total, report, before=len(names)))
    files = assemble(
        record.chain,
        record.reread(lambda done, _: report(before + done, total)),
        change_id,
        fetch=documents.__getitem__,
        signer=read_job_key(),
        time=clock.now(),
        extra=extra | duties_files([*PARTS, *(f"{EXTRA}{path}" for path in extra)]),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        draft = Path(scratch) / "pack"
        for name, content in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        shutil.rmtree(out, ignore_errors=True)
        draft.rename(out)
    return len(files)


def _extra(view: LineView, change: ChangeState, judged: Iterable[Step]) -> dict[str, bytes]:
    """What the pack holds besides the record and its documents, by path below `extra/`."""
    pages = [(step, page_of(view, change, step)) for step in judged]
    files = {f"dossier/{step}.html": page.encode("utf-8") for step, page in pages}
    if pages:
        last = view.evidence_digest(change, pages[-1][0])
        evidence = view.documents.get_model(last, StepEvidence)
        files["ml-bom.cdx.json"] = bill_of_materials(view, change, evidence)
    if change.registered and change.registered.signature:
        signature = view.documents.get(change.registered.signature)
        files["model/model.sig"] = json.dumps(signature["bundle"], indent=1).encode("utf-8")
        files["model/model.pub"] = signature["public_key"].encode("ascii")
    return files


def _judged(change: ChangeState) -> list[Step]:
    """Steps with evidence, and the promotion once the holdout was looked at."""
    steps: list[Step] = [
        step.number for step in change.steps if any(one.judged for one in step.attempts)
    ]
    return [*steps, "promotion"] if change.holdout else steps
