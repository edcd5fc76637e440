"""The files that a line begins with."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from policies.errors import DecisionError
from policies.keys import parse_public_key
from policies.policy import SHIPPED, load_policy
from policies.schema import LINE_PATTERN, faults_of
from tasks.errors import RunFileError
from tasks.run_file import RunFile

FILES = ("run.yaml", "kpis.yaml", "policy.yaml", "approvers.yaml")


@dataclass(frozen=True)
class Approver:
    """Somebody who may decide: name, roles, and the line of their OpenSSH public key."""

    name: str
    roles: tuple[str, ...]
    key: str

    @classmethod
    def parse(cls, text: str) -> "Approver":
        """`NAME:ROLE[,ROLE]:FILE`, the file holding the public key.

        Raises:
            RunFileError: it has another form, or the file holds no Ed25519 public key.
        """
        name, roles, path = (part.strip() for part in (*text.split(":", 2), "", "")[:3])
        if not (name and roles and path):
            raise RunFileError(f"approver {text!r}: expected NAME:ROLE[,ROLE]:PUBLIC_KEY_FILE.")
        try:
            key = Path(path).expanduser().read_text(encoding="utf-8").strip()
            parse_public_key(key)
        except (OSError, UnicodeDecodeError):
            raise RunFileError(
                f"approver {name}: {path} cannot be read. Name a .pub file."
            ) from None
        except DecisionError as error:
            raise RunFileError(f"approver {name}: {path}: {error}") from None
        return cls(name, tuple(role.strip() for role in roles.split(",")), key)


def line_named(name: str) -> str:
    """The name, if a line may have it. Raises RunFileError where it may not."""
    if not re.fullmatch(LINE_PATTERN, name):
        raise RunFileError(
            f"line {name!r}: expected lower-case letters, digits and -, a letter or digit first."
        )
    return name


def shipped(name: str) -> str:
    """The name, if a policy of it ships. Raises RunFileError naming those that do."""
    if name not in SHIPPED:
        raise RunFileError(f"policy {name!r}: expected one of {', '.join(SHIPPED)}.")
    return name


def roles_asked(policy: str) -> str:
    """The roles that a shipped policy wants decisions from, in words."""
    asked = load_policy(policy).approvals
    return ", ".join(dict.fromkeys((*asked.step.roles, *asked.promotion.roles)))


@dataclass(frozen=True)
class Beginning:
    """The answers that a line begins with."""

    line: str
    requester: str
    model: str
    data: str
    fields: Mapping[str, str]
    kpis: Mapping[str, Any]
    policy: str
    work: str
    ledger: str
    language: str
    approvers: Sequence[Approver]


def check_free(folder: Path) -> None:
    """Raise RunFileError where one of the files is there already."""
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise RunFileError(
            f"{folder / taken[0]} exists. Name another folder, or replace with --force."
        )


def write(beginning: Beginning, folder: Path, *, force: bool = False) -> list[Path]:
    """Write the files; what is there already is left alone unless forced.

    Raises:
        RunFileError: one of the files exists, an answer is none that a run file may hold, or there
            is no shipped policy of the name. Nothing is written then.
    """
    if not force:
        check_free(folder)
    try:
        RunFile.model_validate(_run(beginning))
    except ValidationError as error:
        raise RunFileError(" ".join(faults_of(error, RunFile))) from None
    contents = {
        "run.yaml": _yaml("What to run: avss optimize --config run.yaml", _run(beginning)),
        "kpis.yaml": _yaml("What quality means here; see `avss schema kpis`", beginning.kpis),
        "policy.yaml": _policy(beginning),
    }
    if beginning.approvers:
        contents["approvers.yaml"] = _yaml("Who may decide, by role and key", _roster(beginning))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in contents]


def _run(beginning: Beginning) -> dict[str, Any]:
    return {
        "line": beginning.line,
        "requester": beginning.requester,
        "model": {"source": beginning.model},
        "data": {"uri": beginning.data, "format": "auto", "fields": dict(beginning.fields)},
        "kpis": "kpis.yaml",
        "policy": "policy.yaml",
        "approvers": "approvers.yaml",
        "buckets": {"work": beginning.work, "ledger": beginning.ledger},
        "language": beginning.language,
    }


def _policy(beginning: Beginning) -> str:
    """The shipped policy under the line's name, comments and all: a text to edit."""
    source = resources.files("policies") / "library" / f"{shipped(beginning.policy)}.yaml"
    text = source.read_text(encoding="utf-8")
    return re.sub(r"(?m)^name: .*$", f"name: {beginning.line}", text, count=1)


def _roster(beginning: Beginning) -> dict[str, Any]:
    return {
        "people": [
            {"name": one.name, "roles": list(one.roles), "keys": [{"key": one.key}]}
            for one in beginning.approvers
        ]
    }


def _yaml(title: str, content: Mapping[str, Any]) -> str:
    told = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=100)
    return f"# {title}\n{told}"
