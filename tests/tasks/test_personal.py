"""Personal data in records: counted, masked or refused, and never told."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from policies.policy import parse_policy
from policies.rules.data import ValidData
from tasks.data.personal import Conduct
from tasks.data.snapshot import load_manifest, pin_snapshot, read_split, restore_snapshot
from tasks.data.source import DataSource, Fields
from tasks.data.splits import SPLITS
from tasks.data.validation import validate
from tasks.errors import DataError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MAIL, PHONE, CARD = "jane.roe@example.com", "+49 30 1234567", "4111 1111 1111 1111"


def source(folder: Path) -> DataSource:
    rows: list[dict[str, Any]] = [
        {"id": f"r{number}", "text": f"What customer number {number} told us about the thing"}
        for number in range(60)
    ]
    rows[3]["text"] += f" write to {MAIL} or call {PHONE}"
    rows[7] |= {"text": f"{rows[7]['text']} my card {CARD}", "note": f"again {MAIL}"}
    rows[9]["id"] = "r9@shop.example"
    folder.mkdir()
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSource(uri=str(folder), fields=Fields(id="id", text="text"))


def texts(snapshot: Any) -> str:
    return json.dumps([read_split(snapshot, split)[:] for split in SPLITS])


def test_it_is_counted_and_never_told(tmp_path: Path) -> None:
    snapshot = pin_snapshot(source(tmp_path / "d"), cache=tmp_path / "c", personal="warn")
    looked = snapshot.manifest.personal_data
    assert looked is not None
    assert looked.found == {"EMAIL": 2, "PHONE": 1, "CREDIT_CARD": 1}
    assert MAIL in texts(snapshot)
    report = validate(snapshot, "text", now=NOW, personal="warn")
    assert report.passed
    assert any("Personal data stands" in it and "EMAIL 2" in it for it in report.warnings)
    for told in (snapshot.manifest.to_bytes().decode(), json.dumps(report.to_json())):
        assert not any(it in told for it in (MAIL, PHONE, CARD))
    assert load_manifest(snapshot.manifest.to_bytes()) == snapshot.manifest


def test_it_is_masked_and_masked_again_when_pulled_again(tmp_path: Path) -> None:
    snapshot = pin_snapshot(source(tmp_path / "d"), cache=tmp_path / "c", personal="mask")
    assert not any(it in texts(snapshot) for it in (MAIL, PHONE, CARD))
    assert "write to [EMAIL] or call [PHONE]" in texts(snapshot)
    assert "r9@shop.example" in texts(snapshot), "an id names a record and stays"
    again = restore_snapshot(snapshot.manifest, tmp_path / "other")
    assert again.digest == snapshot.digest
    assert texts(again) == texts(snapshot)


@pytest.mark.parametrize(("conduct", "passed"), [("block", False), ("mask", True)])
def test_the_policy_decides(tmp_path: Path, conduct: Conduct, passed: bool) -> None:
    snapshot = pin_snapshot(source(tmp_path / "d"), cache=tmp_path / "c", personal=conduct)
    assert validate(snapshot, "text", now=NOW, personal=conduct).passed is passed


def test_without_a_scan_the_manifest_says_nothing_of_it(tmp_path: Path) -> None:
    """So manifests from before there was one keep their bytes."""
    snapshot = pin_snapshot(source(tmp_path / "d"), cache=tmp_path / "c")
    assert b"personal" not in snapshot.manifest.to_bytes()


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datafog", None)
    with pytest.raises(DataError, match=r"pip install 'avss\[pii\]'"):
        pin_snapshot(source(tmp_path / "d"), cache=tmp_path / "c", personal="block")


@pytest.mark.parametrize("conduct", ["warn", "mask", "block"])
def test_the_policy_is_explained(conduct: str) -> None:
    policy = parse_policy(f"name: x\ndata: {{personal_data: {conduct}}}")
    assert any("personal data" in it for it in ValidData().explain(policy))
