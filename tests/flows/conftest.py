"""A tiny world for whole changes: a random model, made-up reviews in real S3, keys, a run file."""

import fcntl
import json
import os
import pty
import random
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from typer.testing import CliRunner

from flows.cli import app
from policies.keys import public_line
from tasks.places import Places
from tasks.record.line_view import LineView
from tests.flows.workplace import serving

LAYERS = 6
RECORDS = 240
WORDS = [f"w{number}" for number in range(60)]
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


@dataclass(frozen=True)
class Seen:
    """What a command left that ran at a terminal."""

    code: int
    screen: str
    """All that was written to the terminal, and what was typed."""
    stdout: str
    """Where stdout was a pipe."""


def at_a_terminal(
    *arguments: str,
    answers: Sequence[tuple[str, str | Callable[[], str]]] = (),
    piped: bool = False,
    cwd: Path | None = None,
    home: Path | None = None,
    seconds: float = 240,
) -> Seen:
    """Run `avss` on a pseudo-terminal of 120 columns.

    Args:
        arguments: of the command.
        answers: questions, in order, with what is typed once they stand on the screen; a function
            is called only then.
        piped: stdout is a pipe; stdin and stderr are the terminal.
        cwd: where it runs.
        home: its AVSS_HOME.
        seconds: it must be done by then.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=cwd,
        env=os.environ | environment | ({"AVSS_HOME": str(home)} if home else {}),
        stdin=theirs,
        stdout=subprocess.PIPE if piped else theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen, looked, left = "", 0, list(answers)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            screen += piece.decode("utf-8", "replace")
            asked = screen.find(left[0][0], looked) if left else -1
            if asked >= 0:
                looked = asked + len(left[0][0])
                question, answer = left.pop(0)
                while question.startswith("Passphrase") and _echoes(ours):
                    time.sleep(0.02)  # what is typed before the echo is off gets thrown away
                os.write(ours, f"{answer if isinstance(answer, str) else answer()}\n".encode())
        out = process.communicate(timeout=60)[0]
    finally:
        process.kill()
        os.close(ours)
    assert not left, f"never asked: {left[0][0]}\n{screen}"
    return Seen(process.returncode, screen, (out or b"").decode())


def _echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


@pytest.fixture
def at_terminal() -> Callable[..., Seen]:
    """Runs `avss` at a pseudo-terminal; see `at_a_terminal`."""
    return at_a_terminal


@contextmanager
def hook() -> Iterator[SimpleNamespace]:
    """A loopback server that keeps what is posted to it, or refuses it."""
    kept = SimpleNamespace(posts=[], status=200, url="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.posts.append(json.loads(body))
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as kept.url:
        yield kept


@pytest.fixture
def webhook(stack) -> Iterator[SimpleNamespace]:
    with (
        temporary_settings({PREFECT_API_URL: stack.stack.environment()["PREFECT_API_URL"]}),
        hook() as kept,
    ):
        block = CustomWebhookNotificationBlock(
            name="hook", url=kept.url, json_data={"title": "{{subject}}", "text": "{{body}}"}
        )
        block.save(f"hook-{stack.unique}")
        kept.slug = f"custom-webhook/hook-{stack.unique}"
        kept.view = SimpleNamespace(work=stack.work())
        yield kept


@pytest.fixture(scope="session")
def make_tiny_model() -> Callable[[Path], None]:
    """Writes the tiny model to a folder."""
    return tiny_model


@pytest.fixture
def write_a_key() -> Callable[[Path], Ed25519PrivateKey]:
    """Writes a new key of a person or a job to a file."""
    return write_key


@pytest.fixture
def encrypt() -> Callable[[Path, str], None]:
    """Puts a key's file under a passphrase."""
    return encrypt_key


@pytest.fixture
def made_up_reviews() -> Callable[[range], bytes]:
    """Writes reviews as JSON Lines."""
    return reviews


@pytest.fixture
def make_world() -> Callable[[Any, Path], World]:
    """Makes a line's files in a folder, on any stack."""
    return new_world


@pytest.fixture
def reviews_of_another_shop() -> Callable[[], bytes]:
    """Writes reviews ten times as long, which drift from the made-up ones."""

    def write() -> bytes:
        said = {it: "w7 w8 " * 150 + f"number {it}" for it in range(RECORDS)}
        rows = [{"n": f"l{it}", "said": said[it], "mood": "good", "shop": "x"} for it in said]
        return "".join(json.dumps(row) + "\n" for row in rows).encode()

    return write


@pytest.fixture
def world(stack, tmp_path: Path) -> World:
    """A line that is ready for its first change."""
    return new_world(stack, tmp_path)


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


def tiny_model(folder: Path, *, layers: int = LAYERS, seed: int = 0) -> None:
    """A random model of six layers with its tokenizer."""
    vocabulary = {word: at for at, word in enumerate(["<pad>", "<unk>", "so", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def reviews(numbers: range) -> bytes:
    """Records as a shop would keep them, a JSON object a line."""
    draw = random.Random(numbers.start)
    lines = [
        json.dumps(
            {
                "n": f"r{number}",
                "said": " ".join(draw.choices(WORDS, k=draw.randint(6, 30))),
                "mood": draw.choice(["good", "bad"]),
                "shop": draw.choice(["north", "south"]),
            }
        )
        for number in numbers
    ]
    return ("\n".join(lines) + "\n").encode()


def write_key(path: Path) -> Ed25519PrivateKey:
    """A new Ed25519 key in OpenSSH form, readable by its owner alone."""
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    _write(key, path, serialization.NoEncryption())
    return key


def encrypt_key(path: Path, passphrase: str) -> None:
    """The same key in the same file, under a passphrase."""
    key = serialization.load_ssh_private_key(path.read_bytes(), None)
    _write(key, path, serialization.BestAvailableEncryption(passphrase.encode()))


def _write(key: Any, path: Path, hidden: serialization.KeySerializationEncryption) -> None:
    openssh = serialization.PrivateFormat.OpenSSH
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, openssh, hidden))
