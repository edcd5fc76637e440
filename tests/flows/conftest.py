"""A tiny world for whole changes: a random model, made-up reviews in real S3, keys, a run file."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.flows.parts import RECORDS, encrypt_key, reviews, tiny_model, write_key
from tests.flows.terminal import Seen, at_a_terminal
from tests.flows.workplace import serving
from tests.flows.world import World, new_world


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
