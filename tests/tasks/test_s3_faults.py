"""Pulling business data from S3 when something goes wrong on the way.

The server is real; a proxy of the test's own before it cuts, slows, throttles and refuses.
"""

from pathlib import Path
from typing import Any

import pytest

from tasks.data.snapshot import pin_snapshot
from tasks.errors import StorageError
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore
from tests.tasks.objects import fill, rows, source


def test_a_denied_object_is_named_and_the_rest_is_kept(faults: Any, tmp_path: Path) -> None:
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


def test_credentials_that_expire_half_way(faults: Any, tmp_path: Path) -> None:
    fill(faults.store, 20)
    faults.expire_after = 10
    with pytest.raises(StorageError, match="ExpiredToken"):
        pin_snapshot(source(faults.store), cache=tmp_path)
    assert not list(tmp_path.glob("snapshots/*"))
    faults.expire_after = None
    faults.asked.clear()
    assert pin_snapshot(source(faults.store), cache=tmp_path).manifest.records == 200
    assert len([it for it in faults.asked if ".jsonl" in it]) == 10, "what came is not asked again"


def test_a_server_that_throttles_is_asked_again_later(faults: Any, tmp_path: Path) -> None:
    fill(faults.store, 4)
    faults.throttled = 3
    assert pin_snapshot(source(faults.store), cache=tmp_path).manifest.records == 40
    assert faults.throttled == 0


def test_a_slow_connection_is_waited_for(faults: Any, tmp_path: Path) -> None:
    faults.store.put("big.jsonl", rows(0, 20_000))
    faults.drip = 0.02
    assert pin_snapshot(source(faults.store), cache=tmp_path).manifest.records == 20_000


def test_a_connection_that_stands_still_is_given_up_and_asked_again(
    faults: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.s3.client.READ_TIMEOUT", 0.5)
    faults.store.put("big.jsonl", rows(0, 5_000))
    faults.cut_after, faults.stalls_left = 100_000, 1
    assert pin_snapshot(source(faults.store), cache=tmp_path).manifest.records == 5_000
    assert len([it for it in faults.asked if "big.jsonl" in it]) == 2


@pytest.mark.parametrize("code", ["AuthorizationHeaderMalformed", "PermanentRedirect"])
def test_a_bucket_in_another_region(faults: Any, tmp_path: Path, code: str) -> None:
    faults.refuse[f"/{faults.store.location.bucket}"] = (400, code)
    with pytest.raises(StorageError, match=r"another region .*Set AWS_REGION") as caught:
        pin_snapshot(source(faults.store), cache=tmp_path)
    assert caught.value.exit_code == 2


def test_a_cut_connection_is_taken_up_where_it_broke(faults: Any, tmp_path: Path) -> None:
    faults.store.put("big.jsonl", rows(0, 100_000))
    faults.cut_after, faults.cuts_left = 1_500_000, 2
    snapshot = pin_snapshot(source(faults.store), cache=tmp_path)
    assert snapshot.manifest.records == 100_000
    ranges = [it.rpartition("bytes=")[2] for it in faults.asked if "bytes=" in it]
    assert len(ranges) == 2
    assert ranges == sorted(ranges, key=lambda it: int(it.rstrip("-")))


def test_a_connection_that_keeps_breaking_ends_clearly(
    faults: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


@pytest.mark.parametrize("endpoint", ["http://s3.example.com", "http://10.1.2.3:9000"])
def test_nothing_crosses_a_network_in_the_open(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(StorageError, match=r"is not encrypted.*AVSS_ALLOW_PLAIN_HTTP=1"):
        new_client()
    monkeypatch.setenv("AVSS_ALLOW_PLAIN_HTTP", "1")
    assert new_client().meta.endpoint_url == endpoint


@pytest.mark.parametrize(
    "endpoint",
    ["https://s3.example.com", "http://localhost:1", "http://127.8.0.1", "http://[::1]:9"],
)
def test_tls_and_loopback_are_fine(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert new_client().meta.endpoint_url == endpoint


def test_what_is_written_is_encrypted_with_the_named_key(
    faults: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local server has no KMS: that the request asks for it is what can be seen here."""
    key = "arn:aws:kms:eu-west-1:123456789012:key/one"
    ObjectStore("avss-work").put("plain", b"x")
    monkeypatch.setenv("AVSS_KMS_KEY", key)
    ObjectStore("avss-work").put("secret", b"x")
    plain, kept = ({name.lower(): value for name, value in it.items()} for it in faults.written)
    assert "x-amz-server-side-encryption" not in plain
    assert kept["x-amz-server-side-encryption"] == "aws:kms"
    assert kept["x-amz-server-side-encryption-aws-kms-key-id"] == key
