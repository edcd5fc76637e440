"""Each role may do what its work needs and nothing else: as written, and on a server that enforces.

Object Lock, KMS, the condition on TLS and what the role `setup` may do are AWS's own and only read
here.
"""

import ast
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from deployments.buckets import BucketNames, ensure_buckets
from deployments.roles import ROLES, role_policy
from deployments.services import SEAWEEDFS
from deployments.stack import Stack
from tasks.data.snapshot import pin_snapshot
from tasks.data.source import DataSource, Fields
from tasks.errors import StorageError
from tasks.record.approval_box import ApprovalBox
from tasks.record.documents import Documents
from tasks.record.ledger_store import LedgerStore
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore

ROOT = Path(__file__).parent.parent.parent
NAMES = BucketNames()
KEY = "arn:aws:kms:eu-west-1:123456789012:key/one"
READS = ("s3:Get", "s3:List", "kms:Decrypt")


def statements(role: str) -> list[dict[str, Any]]:
    return role_policy(role, NAMES, KEY)["Statement"]


def allowed(role: str) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for it in statements(role)
        for action in it["Action"]
        for resource in it["Resource"]
    }


@pytest.mark.parametrize("role", ROLES)
def test_no_role_has_more_than_it_names(role: str) -> None:
    for action, resource in allowed(role):
        assert "*" not in action
        assert resource == KEY or resource.startswith(f"arn:aws:s3:::{NAMES.data[:5]}")
        assert "Bypass" not in action
    assert not json.dumps(role_policy(role, NAMES)).count("kms:")


def test_business_data_is_read_by_the_job_alone_and_written_by_nobody() -> None:
    for role in ROLES[:3]:
        data = {it for it in allowed(role) if NAMES.data in it[1]}
        assert all(action.startswith(READS) for action, _ in data)
        assert bool(data) == (role == "job")


def test_the_ledger_is_appended_to_and_never_deleted_from() -> None:
    for role in ROLES:
        ledger = {it for it in allowed(role) if NAMES.ledger in it[1] and "Delete" in it[0]}
        assert ledger <= {("s3:DeleteObjectVersion", f"arn:aws:s3:::{NAMES.ledger}/probes/*")}
    assert ("s3:PutObject", f"arn:aws:s3:::{NAMES.ledger}/*") not in allowed("approver")
    assert all(action.startswith(READS) for action, _ in allowed("auditor"))


SETUP = {
    "create_bucket": {"s3:CreateBucket"},
    "head_bucket": {"s3:ListBucket"},
    "put_bucket_versioning": {"s3:PutBucketVersioning"},
    "get_object_lock_configuration": {"s3:GetBucketObjectLockConfiguration"},
    "put_bucket_encryption": {"s3:PutEncryptionConfiguration"},
    "put_public_access_block": {"s3:PutBucketPublicAccessBlock"},
    "put_bucket_lifecycle_configuration": {"s3:PutLifecycleConfiguration"},
    "put_bucket_replication": {"s3:PutReplicationConfiguration"},
}
"""The rights that AWS asks for at each call by which buckets are made (its S3 reference)."""
LOCKED = {"s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"}
"""What it asks for besides where a bucket is created with Object Lock."""


def calls_of_the_setup() -> dict[str, set[str]]:
    """Each S3 call of our code that makes buckets, and of the commands that the docs tell."""
    tree = ast.parse((ROOT / "deployments" / "buckets.py").read_text())
    ours = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "client"
    }
    pages = (path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    told = {one for page in pages for one in re.findall(r"aws s3api ([a-z-]+)", page)}
    return {"buckets.py": ours, "docs": {one.replace("-", "_") for one in told}}


@pytest.mark.parametrize("where", ["buckets.py", "docs"])
def test_who_makes_the_buckets_may_do_all_that_it_takes(where: str) -> None:
    calls = calls_of_the_setup()[where]
    assert {"create_bucket", "put_bucket_versioning"} <= calls  # they were found at all
    needed = set().union(*(SETUP[call] for call in calls)) | LOCKED
    for bucket in (NAMES.data, NAMES.work, NAMES.ledger):
        mine = {action for action, resource in allowed("setup") if resource.endswith(bucket)}
        assert needed - mine == set()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server of its own: the shared one lets nobody make users."""
    service = replace(
        SEAWEEDFS,
        command=lambda home, ports: [*SEAWEEDFS.command(home, ports), "-s3.iam.readOnly=false"],
    )
    stack = Stack(tmp_path_factory.mktemp("iam"), (service,))
    try:
        stack.up(deadline=300)
        ensure_buckets(NAMES, new_client(stack.environment()))
        yield stack.environment()
    finally:
        stack.down()


@pytest.fixture
def become(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a user with a role's policy, and lead this process' clients to be that user."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    iam = boto3.client("iam", endpoint_url=server["AWS_ENDPOINT_URL"])

    def user(role: str) -> None:
        name = f"{role}-{uuid.uuid4().hex[:6]}"
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        document = json.dumps(role_policy(role, NAMES))
        iam.put_user_policy(UserName=name, PolicyName=role, PolicyDocument=document)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    return user


def denied(attempt: Any) -> bool:
    try:
        attempt()
    except StorageError as error:
        return "denied access" in str(error)
    return False


def test_the_job_reads_data_writes_evidence_and_appends(
    server: dict[str, str], become: Any, tmp_path: Path
) -> None:
    lines = [json.dumps({"id": str(i), "text": f"text number {i}"}) for i in range(30)]
    data = ObjectStore(NAMES.data, uuid.uuid4().hex)
    data.put("a.jsonl", "\n".join(lines).encode())
    become("job")
    source = DataSource(uri=data.uri(), fields=Fields(id="id", text="text"))
    assert pin_snapshot(source, cache=tmp_path).manifest.records == 30
    mine = ObjectStore(NAMES.data, data.location.prefix)
    assert denied(lambda: mine.put("b.jsonl", b"x"))
    assert denied(lambda: mine.delete("a.jsonl"))
    work = ObjectStore(NAMES.work)
    digest = Documents(work).put({"some": "evidence"})
    assert Documents(work).get(digest) == {"some": "evidence"}
    assert denied(lambda: work.delete(f"evidence/{digest}"))
    assert denied(lambda: ApprovalBox(work).drop("x-0001", 1, b"forged"))
    assert list(ApprovalBox(work).answers("x-0001", 1)) == []
    ledger = LedgerStore(NAMES.ledger)
    ledger.probe_guarantees()
    line = f"t{uuid.uuid4().hex[:8]}"
    ledger.append(line, 0, b"{}", datetime.now(UTC) + timedelta(minutes=1))
    assert ledger.read(line) == [b"{}"]


def test_an_approver_answers_and_touches_nothing(become: Any) -> None:
    become("job")
    digest = Documents(ObjectStore(NAMES.work)).put({"asked": uuid.uuid4().hex})
    become("approver")
    work = ObjectStore(NAMES.work)
    assert Documents(work).get(digest)
    assert ApprovalBox(work).drop("x-0001", 1, b"signed")
    assert denied(lambda: work.put("evidence/other", b"x"))
    assert denied(lambda: next(ObjectStore(NAMES.data).list(), None))
    until = datetime.now(UTC) + timedelta(minutes=1)
    assert denied(lambda: LedgerStore(NAMES.ledger).append("line", 0, b"{}", until))


def test_an_auditor_only_reads(become: Any) -> None:
    become("job")
    digest = Documents(ObjectStore(NAMES.work)).put({"asked": uuid.uuid4().hex})
    become("auditor")
    work = ObjectStore(NAMES.work)
    assert Documents(work).get(digest)
    assert isinstance(LedgerStore(NAMES.ledger).lines(), tuple)
    assert denied(lambda: work.put("evidence/other", b"x"))
    assert denied(lambda: ApprovalBox(work).drop("x-0001", 1, b"signed"))
    assert denied(lambda: next(ObjectStore(NAMES.data).list(), None))
