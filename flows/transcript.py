"""A change's telling from an evidence pack alone, as it stands in the README.

`python -m flows.transcript PACK README.md` writes it between the README's markers.
"""

import io
import json
import sys
from pathlib import Path

from rich.console import Console

from flows.narrative import Narrator
from policies.canonical import parse_canonical
from policies.dsse import Envelope
from policies.entries import Entry
from policies.pack import evidence_path, read_pack

BEGIN, END = "<!-- transcript -->\n", "<!-- end of transcript -->"
_WIDTH = 110


def transcript(pack: Path) -> str:
    """What the terminal showed of the pack's change, without colours."""
    files = read_pack(pack)
    console = Console(file=io.StringIO(), width=_WIDTH, highlight=False, no_color=True)
    narrator = Narrator(console, lambda digest: json.loads(files[evidence_path(digest)]))
    for name in sorted(name for name in files if name.startswith("ledger/")):
        narrator.tell(Entry.model_validate(parse_canonical(Envelope.parse(files[name]).payload)))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in told.strip().splitlines())


def embedded(readme: str) -> str:
    """The transcript that a README holds between its markers."""
    return readme.split(BEGIN)[1].split(END)[0].removeprefix("```text\n").removesuffix("\n```\n")


def embed(readme: str, told: str) -> str:
    """The README with another transcript."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}```text\n{told}\n```\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    target = Path(sys.argv[2])
    content = embed(target.read_text(encoding="utf-8"), transcript(Path(sys.argv[1])))
    target.write_text(content, encoding="utf-8")
