"""A line that is ready for its first change, and the command line run in its folder."""

import json
import os
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from flows.cli import app
from policies.keys import public_line
from tasks.places import Places
from tasks.record.line_view import LineView
from tests.flows.parts import RECORDS, reviews, tiny_model, write_key
from tests.flows.terminal import at_a_terminal

PEOPLE = {"Ann": "product", "Ben": "risk"}
POLICY = {
    "name": "tiny",
    "limits": {"max_layers_removed": 1, "max_share_removed": None, "attempts_per_step": 2},
    "selection": {"shortlist": 3, "probe_tokens": 400},
    "calibration": {"min_records": 10, "max_tokens": 1500, "min_rank_stability": None},
    "data": {"suite": "text", "min_records": 100},
    "drift": {
        "data": {"unsure": "tell"},  # of so few records, chance alone passes some limits
        "outputs": {"label_flip_rate": None, "next_token_kl": None},
    },
    "kpis": {
        "default": {"min_retention": 0.5, "worst_slice": None, "max_drop_per_step": None},
    },
    "latency": {"max_prefill_ratio": None, "max_decode_ratio": None},
    "approvals": {
        "step": {"quorum": 2, "roles": ["product", "risk"], "at_least": {"risk": 1}},
        "promotion": {"quorum": 1, "roles": ["risk"]},
    },
    "ledger": {"retention_days": 1},
}
KPIS = {
    "kpis": [
        {
            "name": "mood",
            "kind": "classification",
            "prompt": "{text} so",
            "labels": {"good": " w1", "bad": " w2"},
            "target": "mood",
            "metrics": ["accuracy"],
            "slice_by": ["shop"],
        },
        {"name": "text", "kind": "perplexity", "metrics": ["token_perplexity"]},
    ]
}


@dataclass(frozen=True)
class World:
    """One line's files in `folder`, and the command line run in it as a user would."""

    folder: Path
    line: str

    @property
    def sample(self) -> str:
        """Words of the first review, which must show up nowhere."""
        return json.loads(reviews(range(1)))["said"][:20]

    @property
    def change(self) -> str:
        """The line's first change."""
        return f"{self.line}-0001"

    @property
    def home(self) -> Path:
        """Its AVSS_HOME."""
        return self.folder / "home"

    @property
    def view(self) -> LineView:
        """The line as it stands now."""
        return LineView(self.line, Places("avss-work", "avss-ledger"))

    def page(self, name: str) -> str:
        """A page of the line's static site in the work bucket."""
        return self.view.work.below("dossiers").get(f"{self.line}/{name}").decode()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.folder,
            env=os.environ | {"AVSS_HOME": str(self.home), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def avss(self, *arguments: str, code: int = 0) -> str:
        """Run a command to its end, which must have this exit code; returns its stdout."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        return out if code in (0, 3, 4) or "json" in arguments else err

    def here(self, *arguments: str, code: int = 0) -> str:
        """The same in this process: far quicker, where it is not the process that is tried."""
        server = {PREFECT_API_URL: os.environ["PREFECT_API_URL"]}
        with chdir(self.folder), temporary_settings(server):
            runner = CliRunner(env={"AVSS_HOME": str(self.folder / "home")})
            result = runner.invoke(app, list(arguments))
        assert result.exit_code == code, f"exit code {result.exit_code}\n{result.output}"
        return result.stdout if code in (0, 3, 4) or "json" in arguments else result.stderr

    def rewrite(self, name: str, **changes: Any) -> None:
        """Change top-level fields of one of the YAML files."""
        path = self.folder / name
        content = yaml.safe_load(path.read_text()) | changes
        path.write_text(yaml.safe_dump(content))

    def answer(self, name: str, *answers: Any, code: int = 0) -> str:
        """Approve as this person at a terminal, where questions are answered; what was seen."""
        key = str(self.folder / "keys" / name)
        call = ("approve", self.change, "--key", key, "--reason", "tested")
        seen = at_a_terminal(*call, answers=answers, cwd=self.folder, home=self.home)
        assert seen.code == code, seen.screen
        return " ".join(seen.screen.split())

    def approve(self, *names: str) -> None:
        """Sign the open question as these people."""
        for name in names:
            key = str(self.folder / "keys" / name)
            self.here("approve", self.change, "--key", key, "--reason", "tested")


def new_world(stack: Any, tmp_path: Path) -> World:
    """The same in any folder, on any stack (`Servers`)."""
    made = World(tmp_path, stack.unique)
    tiny_model(tmp_path / "model")
    stack.data().put("2026/part-0.jsonl", reviews(range(RECORDS // 2)))
    stack.data().put("2026/part-1.jsonl", reviews(range(RECORDS // 2, RECORDS)))
    write_key(tmp_path / "home" / "keys" / "job_ed25519")
    people = [
        {
            "name": name,
            "roles": [role],
            "keys": [{"key": public_line(write_key(tmp_path / "keys" / name).public_key())}],
        }
        for name, role in PEOPLE.items()
    ]
    run = {
        "line": made.line,
        "requester": "Mia",
        "model": {"source": "model"},
        "data": {
            "uri": stack.data().uri(),
            "format": "jsonl",
            "fields": {"id": "n", "text": "said"},
        },
        "kpis": "kpis.yaml",
        "policy": "policy.yaml",
        "cost": {
            "price_per_hour": 2.0,
            "prompt_tokens_per_month": 1e9,
            "generated_tokens_per_month": 1e8,
        },
        "buckets": {"work": stack.names.work, "ledger": stack.names.ledger},
    }
    for name, content in (
        ("run.yaml", run),
        ("policy.yaml", POLICY),
        ("kpis.yaml", KPIS),
        ("approvers.yaml", {"people": people}),
    ):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    return made
