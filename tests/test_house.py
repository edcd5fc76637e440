"""The rooms and their one import direction: flows -> tasks -> avss, policies."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVERS = {"prefect", "boto3", "botocore", "mlflow", "great_expectations", "evidently", "ray"}
FORBIDDEN = {
    "avss": {"policies", "tasks", "flows", "deployments", *SERVERS},
    "policies": {"avss", "tasks", "flows", "deployments", "torch", "transformers", *SERVERS},
    "tasks": {"flows", "deployments", "prefect"},
    "deployments": {"flows"},
}


def imported(path: Path) -> Iterator[str]:
    """Top-level names of every import, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_no_room_looks_upward(room):
    modules = sorted((ROOT / room).rglob("*.py"))
    assert modules
    upward = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules
        for name in imported(path)
        if name in FORBIDDEN[room]
    }
    assert not upward


def test_the_check_sees_an_import_inside_a_function(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def hidden():\n    from tasks.s3.storage import ObjectStore\n")
    assert set(imported(path)) == {"tasks"}
