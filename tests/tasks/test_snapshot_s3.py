"""Snapshots from a real S3 server, also through a proxy that breaks things."""

import http.client
import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tasks.data.pull import read_source
from tasks.data.snapshot import pin_snapshot, read_split, restore_snapshot
from tasks.data.source import DataSource, Fields
from tasks.data.splits import SPLITS
from tasks.errors import DataError, StorageError
from tasks.s3.storage import ObjectStore


def rows(start: int, stop: int) -> bytes:
    lines = [json.dumps({"id": str(i), "text": f"text number {i}"}) for i in range(start, stop)]
    return "\n".join(lines).encode()


def source(store: ObjectStore, **options: Any) -> DataSource:
    return DataSource(uri=store.uri(), fields=Fields(id="id", text="text"), **options)


def fill(store: ObjectStore, objects: int, size: int = 10) -> None:
    for number in range(objects):
        store.put(f"part/{number:03d}.jsonl", rows(number * size, (number + 1) * size))


def test_versions_are_pinned_and_pulled_again(s3: Any, tmp_path: Path) -> None:
    store = s3.data()
    fill(store, 5)
    store.put("part/_SUCCESS", b"done")
    store.put("part/gone.jsonl", rows(900, 910))
    store.delete("part/gone.jsonl")
    snapshot = pin_snapshot(source(store), cache=tmp_path / "one")
    assert snapshot.manifest.versioned
    assert [it.key for it in snapshot.manifest.objects] == [f"part/{i:03d}.jsonl" for i in range(5)]
    assert snapshot.manifest.records == 50
    fill(store, 2, size=77)
    store.delete("part/003.jsonl")
    again = restore_snapshot(snapshot.manifest, tmp_path / "two")
    assert again.digest == snapshot.digest
    assert [read_split(again, it)[:] for it in SPLITS] == [
        read_split(snapshot, it)[:] for it in SPLITS
    ]


def test_a_neighbouring_prefix_is_left_alone(s3: Any, tmp_path: Path) -> None:
    fill(s3.data().below("reviews"), 1)
    fill(s3.data().below("reviews-old"), 2)
    snapshot = pin_snapshot(source(s3.data().below("reviews")), cache=tmp_path)
    assert snapshot.manifest.records == 10


def test_one_object_can_be_the_source(s3: Any, tmp_path: Path) -> None:
    fill(s3.data(), 3)
    uri = s3.data().uri("part/001.jsonl")
    records = read_source(uri, "text", cache=tmp_path)
    assert [it["id"] for it in records] == [str(i) for i in range(10, 20)]
    with pytest.raises(DataError, match=r"part/001\.jsonl, record 1: no field 'body'"):
        read_source(uri, "body", cache=tmp_path)


def test_an_empty_prefix_and_a_missing_bucket_are_said(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no data"):
        pin_snapshot(source(s3.data().below("nothing")), cache=tmp_path)
    with pytest.raises(StorageError, match="no bucket avss-nowhere"):
        pin_snapshot(source(ObjectStore("avss-nowhere")), cache=tmp_path)


def test_new_versions_during_the_pull_are_noticed_and_kept_out(s3: Any, tmp_path: Path) -> None:
    store = s3.data()
    fill(store, 12)
    changed: list[int] = []

    def meddle(stage: str, done: int, total: int) -> None:
        if stage == "pull" and not changed:
            changed.append(done)
            fill(s3.data(), 12, size=11)

    snapshot = pin_snapshot(source(store), cache=tmp_path, progress=meddle)
    assert snapshot.manifest.records == 120
    assert len(snapshot.changed_during_pull) == 12


def test_an_unversioned_object_that_changes_ends_the_pull(s3: Any, tmp_path: Path) -> None:
    store = ObjectStore(f"plain-{s3.unique}")
    store.client.create_bucket(Bucket=store.location.bucket)
    fill(store, 12)
    snapshot = pin_snapshot(source(store), cache=tmp_path)
    assert not snapshot.manifest.versioned
    changed: list[int] = []

    def meddle(stage: str, done: int, total: int) -> None:
        if stage == "pull" and not changed:
            changed.append(done)
            fill(ObjectStore(store.location.bucket), 12, size=11)

    with pytest.raises(DataError, match="changed"):
        pin_snapshot(source(store), cache=tmp_path, progress=meddle)
    with pytest.raises(DataError, match="no longer what was pinned"):
        restore_snapshot(snapshot.manifest, tmp_path / "elsewhere")


@dataclass
class Faults:
    """What the proxy does wrong; keys are matched by their end."""

    store: ObjectStore
    """The test's own store, past the proxy."""
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    cut_after: int = 0
    cuts_left: int = 0
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def faults(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A proxy before the S3 server, and this process' clients led to it."""
    behind = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
    plan = Faults(s3.data())

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            plan.asked.append(f"{path} {self.headers.get('Range', '')}".strip())
            for end, (status, code) in plan.refuse.items():
                if path.endswith(end):
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

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            if plan.cuts_left and len(body) > plan.cut_after and ".jsonl" in self.path:
                plan.cuts_left -= 1
                body = body[: plan.cut_after]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        yield plan
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_denied_object_is_named_and_the_rest_is_kept(faults: Faults, tmp_path: Path) -> None:
    store = faults.store
    for number in range(30):
        store.put(f"{number:03d}.jsonl", rows(number * 10, number * 10 + 10))
    faults.refuse["020.jsonl"] = (403, "AccessDenied")
    with pytest.raises(StorageError, match=r"020\.jsonl: .*denied access \(AccessDenied\)"):
        pin_snapshot(source(store), cache=tmp_path)
    faults.refuse.clear()
    faults.asked.clear()
    snapshot = pin_snapshot(source(store), cache=tmp_path)
    assert snapshot.manifest.records == 300
    assert not any("000.jsonl" in it for it in faults.asked), "pulled a second time"


def test_credentials_that_expire_half_way(faults: Faults, tmp_path: Path) -> None:
    fill(faults.store, 20)
    faults.refuse["015.jsonl"] = (400, "ExpiredToken")
    with pytest.raises(StorageError, match="ExpiredToken"):
        pin_snapshot(source(faults.store), cache=tmp_path)


def test_a_cut_connection_is_taken_up_where_it_broke(faults: Faults, tmp_path: Path) -> None:
    faults.store.put("big.jsonl", rows(0, 100_000))
    faults.cut_after, faults.cuts_left = 1_500_000, 2
    snapshot = pin_snapshot(source(faults.store), cache=tmp_path)
    assert snapshot.manifest.records == 100_000
    ranges = [it.rpartition("bytes=")[2] for it in faults.asked if "bytes=" in it]
    assert len(ranges) == 2
    assert ranges == sorted(ranges, key=lambda it: int(it.rstrip("-")))


def test_a_connection_that_keeps_breaking_ends_clearly(
    faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.data.origins.time.sleep", lambda _: None)
    faults.store.put("big.jsonl", rows(0, 2_000))
    faults.cut_after, faults.cuts_left = 5_000, 1000
    with pytest.raises(StorageError, match=r"big\.jsonl: the connection to S3 broke 5 times"):
        pin_snapshot(source(faults.store), cache=tmp_path)
    assert not list(tmp_path.glob("snapshots/*"))


def test_an_endpoint_where_nothing_listens(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        pin_snapshot(source(ObjectStore("avss-data", "x")), cache=tmp_path)
