"""docs/auditing.md names for every attack the test that tries it; here those tests exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = re.findall(
    r"^\| ([^|]+) \| `([^`:|]+)::(\w+)` \|$", (ROOT / "docs" / "auditing.md").read_text(), re.M
)
ASKED = (
    "edited",
    "dropped",
    "reordered",
    "inserted",
    "duplicated",
    "truncated",
    "newer version",
    "fork",
    "wrong key",
    "right job key",
    "replayed on another step, change or line",
    "self-approval",
    "forged Prefect resume",
    "clock set back",
    "16) writers at once",
    "one-byte mutations",
    "random lifecycles",
)


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("attack", "path", "test"), ROWS)
def test_every_attack_of_the_table_has_its_test(attack, path, test):
    assert test in functions(ROOT / path), attack


@pytest.mark.parametrize("attack", ASKED)
def test_every_attack_that_must_be_tried_is_in_the_table(attack):
    assert any(attack in told for told, _, _ in ROWS)


def test_the_table_is_read_to_its_end():
    text = (ROOT / "docs" / "auditing.md").read_text()
    assert len(ROWS) == text.count("::test_")
