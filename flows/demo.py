"""The demo: a local stack, a real model, real reviews, one whole change, and its proof.

Everything goes through the same functions as the command line; only the approvers are played.
"""

import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.rule import Rule

from deployments.buckets import BucketNames
from deployments.seed import Seeded, seed
from deployments.stack import Stack
from flows.terminal import terminal
from policies.keys import public_line
from policies.lifecycle import ChangeState
from policies.verification import Report, verify_folder
from tasks.places import places_of
from tasks.record.deciding import open_question, sign
from tasks.record.export import export_pack
from tasks.record.line_view import LineView

if TYPE_CHECKING:
    from flows.optimize import Ending

LINE = "drug-reviews"
_APPROVERS = {"Demo Product Owner": "product", "Demo Risk Officer": "risk"}
_REASON = "played by the demo: nobody looked at the dossier"


def run_demo(folder: Path) -> int:
    """Run the demo in `folder`; run again, it runs one more change of the same line.

    Returns:
        The exit code of the change: 0 where the model was promoted.

    Raises:
        StackError, StorageError: a server or a download that the demo needs is not to be had.
    """
    console = terminal()
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    stack = Stack(folder / "stack")
    with _running(stack, console), _environment(stack, folder):
        seeded = seed(stack.environment(), report=lambda said: console.print(said, style="dim"))
        run_file, keys = _write_files(folder, seeded)
        ending = _decide_until_closed(run_file, keys, console)
        view = LineView(LINE, places_of(LINE))
        export_pack(view, ending.change, folder / "evidence-pack")
        shutil.rmtree(folder / "dossier", ignore_errors=True)
        dossier = folder / "evidence-pack" / "extra" / "dossier"
        if dossier.is_dir():  # a change that found nothing to do has none
            shutil.copytree(dossier, folder / "dossier")
        report = verify_folder(folder / "evidence-pack")
        _conclude(console, folder, view.change(ending.change), report)
    console.print(f"\nThe demo took {(time.monotonic() - began) / 60:.1f} minutes.", style="dim")
    return ending.exit_code


def _decide_until_closed(
    run_file: Path, keys: Mapping[str, Ed25519PrivateKey], console: Console
) -> "Ending":
    from flows.optimize import run_change  # Prefect reads its settings when it is imported

    while (ending := run_change(run_file, console)).waiting_for is not None:
        console.print(
            f"The demo now plays both approvers of {ending.change}, {ending.waiting_for}, with "
            "keys it made itself. Never do this: an approval is worth something because a person "
            "gave it.",
            style="yellow",
        )
        view = LineView(LINE, places_of(LINE))
        question = open_question(view, ending.change, ending.waiting_for, None)
        for key in keys.values():
            signed = sign(question, "approve", _REASON, key, secrets.token_hex(16))
            view.approvals.drop(question.change, question.step, signed)
    return ending


@contextmanager
def _running(stack: Stack, console: Console) -> Iterator[None]:
    def report(said: str) -> None:
        console.print(said, style="dim", markup=False)

    console.print(Rule("local stack", align="left"))
    stack.up(report=report)
    try:
        yield
    finally:
        stack.down(report=report)


@contextmanager
def _environment(stack: Stack, folder: Path) -> Iterator[None]:
    """This process led to the demo's own servers and home, and back again."""
    before = dict(os.environ)
    os.environ.update(stack.environment())
    os.environ["AVSS_HOME"] = str(folder / "home")
    os.environ.pop("AVSS_JOB_KEY", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _write_files(folder: Path, seeded: Seeded) -> tuple[Path, dict[str, Ed25519PrivateKey]]:
    """Run file, KPIs, policy, roster and keys, as a user would lay them out."""
    _key(folder / "home" / "keys" / "job_ed25519")
    keys = {
        name: _key(folder / "demo-only-approver-keys" / role) for name, role in _APPROVERS.items()
    }
    for name in ("kpis.yaml", "policy.yaml"):
        shipped = resources.files("deployments") / "demo" / name
        (folder / name).write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    people = [
        {"name": name, "roles": [role], "keys": [{"key": public_line(keys[name].public_key())}]}
        for name, role in _APPROVERS.items()
    ]
    _write_yaml(folder / "approvers.yaml", {"people": people})
    names = BucketNames()
    run = {
        "line": LINE,
        "requester": "Demo Engineer",
        "model": {"source": seeded.model.uri},
        "data": {
            "uri": seeded.data_uri,
            "format": "jsonl",
            "since": "2016-11-01",
            "splits": {"calibration": 0.25, "validation": 0.45, "holdout": 0.3},
            "fields": {
                "id": "id",
                "text": "text",
                "label": "label",
                "timestamp": "date",
                "segment": "condition",
            },
        },
        "kpis": "kpis.yaml",
        "policy": "policy.yaml",
        "buckets": {"work": names.work, "ledger": names.ledger},
        "language": "en",
    }
    _write_yaml(folder / "run.yaml", run)
    return folder / "run.yaml", keys


def _write_yaml(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _key(path: Path) -> Ed25519PrivateKey:
    """The key at `path`, made at the first call, readable by its owner alone."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Ed25519PrivateKey.generate()
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made.private_bytes(*form, serialization.NoEncryption()))
    key = serialization.load_ssh_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} is no Ed25519 key")
    return key


def _conclude(console: Console, folder: Path, change: ChangeState, report: Report) -> None:
    removed = sorted(set(change.opened.kept_layers) - set(change.kept))
    refused = [
        attempt.built.layer
        for step in change.steps
        for attempt in step.attempts
        if attempt.judged and not attempt.judged.passed
    ]
    console.print(Rule("done", align="left"))
    went = (
        f"{len(change.approved_steps)} approved steps removed layers "
        f"{', '.join(map(str, removed))} of {change.original_layers}"
        if removed
        else f"no layer went, {len(change.kept)} of {change.original_layers} are left"
    )
    held = f"without layer {', without layer '.join(map(str, refused))}" if refused else "none"
    console.print(
        f"{change.id}: {report.outcome}. {went}; candidates that the gate refused: {held}."
    )
    console.print(f"evidence pack: valid, {report.entries} entries verified offline")
    home, dossier = _shown(folder / "stack"), folder / "dossier"
    for what, where in (
        *([("dossiers, one a step", _shown(dossier))] if dossier.is_dir() else []),
        ("evidence pack", _shown(folder / "evidence-pack")),
        ("check it yourself", f"avss verify {_shown(folder / 'evidence-pack')}"),
        ("servers again, with their addresses", f"avss stack up --home {home}"),
    ):
        console.print(f"  {what}: {where}", markup=False, soft_wrap=True)


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
