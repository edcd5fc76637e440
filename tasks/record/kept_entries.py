"""Entries kept on this machine, so that a run reads what is new and not a line's whole past.

Nobody needs to trust the file: what is read from it counts only where the store's own last entry
covers it (`policies.ledger.Chain.resume`). Missing, cut short, damaged, altered or of another
bucket, it is passed over and written anew.
"""

import contextlib
from pathlib import Path
from typing import Self

from tasks.home import home, write_whole


class KeptEntries:
    """One line's entries as canonical JSON, one a line of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, bucket: str, line: str) -> Self:
        """Where this machine keeps a line of a ledger's bucket."""
        return cls(home() / "cache" / "ledger" / bucket / f"{line}.jsonl")

    def read(self) -> list[bytes]:
        """The payloads from the first entry on; none where the file cannot be read."""
        try:
            return self.path.read_bytes().splitlines()
        except OSError:
            return []

    def write(self, payloads: list[bytes]) -> None:
        """Keep these, all or nothing; a machine that cannot be written to keeps nothing."""
        with contextlib.suppress(OSError):
            write_whole(self.path, (b"%b\n" % payload for payload in payloads))
