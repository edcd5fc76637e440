"""Files to move, and a proxy before the real S3 server that does wrong what a test says."""

import http.client
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from avss.digests import MANIFEST_NAME
from tasks.s3.storage import ObjectStore


@dataclass
class Faults:
    """What the proxy does wrong; keys are matched by their end."""

    store: ObjectStore
    """The test's own store, past the proxy."""
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    cut_after: int = 0
    cuts_left: int = 0
    throttled: int = 0
    """So many requests for data are answered with 503 SlowDown."""
    stalls_left: int = 0
    """So many answers stop after `cut_after` bytes and hold the line."""
    drip: float = 0.0
    """Seconds between pieces of an answer of 64 KiB."""
    expire_after: int | None = None
    """Objects after which the credentials have expired."""
    written: list[dict[str, str]] = field(default_factory=list)
    """Headers of what was put; it goes nowhere."""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of this test alone."""
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path, s3: Any) -> Path:
    """Not a model that runs: for the way it travels, any files do."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text(f'{{"made_for": "{s3.unique}"}}')
    (folder / "sub" / "model.safetensors").write_bytes(bytes(range(256)))
    (folder / MANIFEST_NAME).write_text("{}")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x").write_text("hidden")
    return folder


@pytest.fixture
def faults(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A proxy before the S3 server, and this process' clients led to it."""
    behind = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    plan, over = Faults(s3.data()), threading.Event()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            plan.asked.append(f"{path} {self.headers.get('Range', '')}".strip())
            if refused := self.refused(path):
                status, code = refused
                body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
                self.answer(status, {"Content-Length": str(len(body))}, body)
                return
            with closing(http.client.HTTPConnection(behind)) as connection:
                connection.request("GET", self.path, headers=dict(self.headers))
                answer = connection.getresponse()
                body = answer.read()
            headers = {
                key: value
                for key, value in answer.getheaders()
                if key.lower() not in ("transfer-encoding", "connection", "content-length")
            }
            self.answer(answer.status, headers | {"Content-Length": str(len(body))}, body)

        def refused(self, path: str) -> tuple[int, str] | None:
            data = ".jsonl" in path
            if data and plan.throttled:
                plan.throttled -= 1
                return 503, "SlowDown"
            if data and plan.expire_after is not None:
                plan.expire_after -= 1
                if plan.expire_after < 0:
                    return 400, "ExpiredToken"
            return next((no for end, no in plan.refuse.items() if path.endswith(end)), None)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            plan.written.append(dict(self.headers))
            self.answer(200, {"Content-Length": "0", "ETag": '"0"'}, b"")

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if plan.cuts_left and len(body) > plan.cut_after and ".jsonl" in self.path:
                plan.cuts_left -= 1
                body = body[: plan.cut_after]
                self.close_connection = True
            stalled = bool(plan.stalls_left and ".jsonl" in self.path)
            if stalled:
                plan.stalls_left -= 1
                body = body[: plan.cut_after]
                self.close_connection = True
            for start in range(0, len(body), 1 << 16 if plan.drip else len(body) or 1):
                self.wfile.write(body[start : start + (1 << 16)] if plan.drip else body)
                time.sleep(plan.drip)
            if stalled:
                over.wait(10)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        yield plan
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
