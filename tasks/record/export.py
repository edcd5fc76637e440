"""Write a change's evidence pack to a folder."""

import shutil
import tempfile
from pathlib import Path

from policies.lifecycle import ChangeState
from policies.pack import assemble
from policies.schema import Step
from tasks import clock
from tasks.errors import TaskError
from tasks.record.job_keys import read_job_key
from tasks.record.line_view import LineView
from tasks.record.pages import page_of


def export_pack(view: LineView, change_id: str, out: Path) -> int:
    """Write the pack of a change, whole or not at all; returns how many files it has.

    An earlier pack at `out` is replaced; anything else there is left alone.

    Raises:
        TaskError: `out` holds something that is no pack.
        MissingError: there is no such change, or one of its documents is gone.
        RunFileError: the job's key is not here; a pack is signed with it.
    """
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise TaskError(f"{out} holds something that is no evidence pack. Name a new folder.")
    change, record = view.change(change_id), view.record
    files = assemble(
        record.chain,
        record.envelopes,
        change_id,
        fetch=view.documents.raw,
        signer=read_job_key(),
        time=clock.now(),
        extra={
            f"dossier/{step}.html": page_of(view, change, step).encode("utf-8")
            for step in _judged(change)
        },
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


def _judged(change: ChangeState) -> list[Step]:
    """Steps with evidence, and the promotion once the holdout was looked at."""
    steps: list[Step] = [
        step.number for step in change.steps if any(one.judged for one in step.attempts)
    ]
    return [*steps, "promotion"] if change.holdout else steps
