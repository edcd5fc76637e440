"""Which buckets a line lives in: given, set in the environment, or remembered from its last run."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Self

from tasks.errors import RunFileError
from tasks.home import home, write_whole
from tasks.s3.objects import parse_uri


@dataclass(frozen=True)
class Places:
    """The work bucket and the ledger's."""

    work: str
    ledger: str

    @classmethod
    def of(cls, work: str, ledger: str) -> Self:
        """Two buckets as a run file names them: by name, or as `s3://name`.

        Raises:
            RunFileError: one is a folder.
        """
        return cls(_bucket(work), _bucket(ledger))


LOCAL = Places("avss-work", "avss-ledger")
"""The local stack's."""


def remember(line: str, places: Places) -> None:
    """Write down where a line lives, for commands that have no run file."""
    path = home() / "lines.json"
    known = _known() | {line: asdict(places)}
    write_whole(path, [json.dumps(known, indent=2, sort_keys=True).encode()])


def places_of(line: str | None, work: str | None = None, ledger: str | None = None) -> Places:
    """Where a line lives: what is given wins, then `AVSS_WORK_BUCKET` and `AVSS_LEDGER_BUCKET`."""
    remembered = _known().get(line or "", asdict(LOCAL))
    return Places(
        work or os.environ.get("AVSS_WORK_BUCKET") or remembered["work"],
        ledger or os.environ.get("AVSS_LEDGER_BUCKET") or remembered["ledger"],
    )


def _bucket(value: str) -> str:
    location = parse_uri(value if value.startswith("s3://") else f"s3://{value}")
    if location.prefix:
        raise RunFileError(f"buckets: {value} names a folder; a bucket of its own is needed.")
    return location.bucket


def _known() -> dict[str, dict[str, str]]:
    path = home() / "lines.json"
    if not path.is_file():
        return {}
    found: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return found
