"""`avss status` on real S3: every line that can be told of, and those that cannot by their name."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks.s3.client import new_client


def status(recorded, *arguments: str, code: int = 0):
    result = CliRunner().invoke(app, ["status", *arguments, *recorded.buckets])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def damaged(recorded):
    """Two more lines, before the good one and after it: entries of another line, and no key."""
    recorded.lay_entries("a-forged-line", 3)
    recorded.lay_key("a-forged-line")
    recorded.lay_entries("z-without-key", 3)
    return recorded


def test_a_whole_record_is_told(recorded):
    told = " ".join(status(recorded).stdout.split())
    assert f"{recorded.change} promoted, 27 of 30 layers" in told
    (found,) = json.loads(status(recorded, "--format", "json").stdout)
    assert (found["line"], found["outcome"], found["fault"]) == (recorded.line, "promoted", None)


def test_a_line_whose_record_does_not_hold_hides_no_other(damaged):
    result = status(damaged, code=5)
    told = " ".join(result.stdout.split())
    assert "a-forged-line ✗ the record does not hold Entry 0: it belongs to line" in told
    assert f"{damaged.change} promoted" in told
    assert "z-without-key ✗ nothing can be told" in told
    assert "a-forged-line, z-without-key" in result.stderr
    found = json.loads(status(damaged, "--format", "json", code=5).stdout)
    assert [one["line"] for one in found] == ["a-forged-line", damaged.line, "z-without-key"]
    assert [one["outcome"] for one in found] == [None, "promoted", None]
    assert "Entry 0" in found[0]["fault"]
    assert {frozenset(one) for one in found} == {frozenset(found[1])}


def test_an_altered_document_is_named_and_exits_2(recorded):
    client, prefix = new_client(), "evidence/"
    for item in client.list_objects_v2(Bucket=recorded.work, Prefix=prefix)["Contents"]:
        client.put_object(Bucket=recorded.work, Key=item["Key"], Body=b"{}")
    assert "nothing can be told" in status(recorded, code=2).stdout


def test_no_line_at_all_is_no_fault(s3):
    empty = f"ledger-{s3.unique}"
    new_client().create_bucket(Bucket=empty)
    result = CliRunner().invoke(app, ["status", "--work", empty, "--ledger", empty])
    assert result.exit_code == 0
    assert "no line has a change yet" in result.stderr
